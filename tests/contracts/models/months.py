"""What `retention` asks of PostgreSQL, and what workers notice of it. Each scenario has a month of its own."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from creditstream.order.ports import Proposal
from creditstream.store.maintenance import Maintenance
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.order import Order
from tests.contracts.models.postgres import APPROVED, REJECTED, Postgres, told
from tests.contracts.models.scenarios import POSTGRES, Seen

#: Before all that the tests write, and after it.
_LONG_AGO, _LATER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_FIRST = "00000000-0000-0000-0000-000000000000"
_APPROVED = ["approved", "score_above_threshold", 712, 12, 1]
_PAGE = {"after": _FIRST, "limit": 5_000}


def _of(year: int, **fields: object) -> Order:
    return an_order(created_at=datetime(year, 2, 10, 12, tzinfo=UTC), **fields)


async def _counted(session: Maintenance, year: int, cutoff: datetime) -> list[int]:
    """Of its month: orders, how many were written since, how many are tried, how many wait for a person."""
    months = await session.json("expired_months", {"cutoff": cutoff})
    names = ("orders", "recent", "undecided", "for_a_person")
    return [each[name] for each in months if each["month"] == _month(year) for name in names]


async def _begin(session: Maintenance, year: int) -> None:
    await session.value("begin_drop", {"month": _month(year), "orders": 1})


async def _end(session: Maintenance, year: int) -> None:
    for statement in ("detach_statement", "drop_statement"):
        await session.change(statement, {"month": _month(year)})
    await session.value("end_drop", {"month": _month(year)})


async def _answer(postgres: Postgres, proposal: Proposal) -> list[Any]:
    return told((await postgres.store.commit([proposal]))[proposal.order.order_id])


async def _found(postgres: Postgres, *orders: Order) -> list[list[Any] | None]:
    """Of each what is committed; None of one that is not known."""
    found = await postgres.store.find([each.order_id for each in orders])
    return [told(found[each.order_id]) if each.order_id in found else None for each in orders]


def _month(year: int) -> str:
    return f"{year}-02-01T00:00:00Z"


@POSTGRES.scenario(
    *([], [2, 2, 1, 0], [2, 0, 1, 0], True, [], False),
    *(["row_removed"], ["row_removed"], [["row_removed"], ["row_removed"], None]),
)
async def an_id_outlives_its_row(postgres: Postgres) -> Seen:
    """A repeat of it and what contradicts it change nothing. A run that was broken off is told from its months."""
    order, waiting = _of(2011), _of(2011)
    await postgres.store.commit([a_proposal(order, APPROVED), a_proposal(waiting)])
    async with postgres.maintenance() as session:
        middle = datetime(2020, 1, 1, tzinfo=UTC)
        seen: Seen = [await _counted(session, 2011, at) for at in (_LONG_AGO, middle, _LATER)]
        await _begin(session, 2011)
        seen.append(_month(2011) in await session.json("begun_months"))
        await _end(session, 2011)
        seen += [await _counted(session, 2011, _LATER), _month(2011) in await session.json("begun_months")]
    other = msgspec.structs.replace(order, term_months=24)
    seen += [await _answer(postgres, a_proposal(each, REJECTED)) for each in (order, other)]
    return [*seen, await _found(postgres, order, waiting, _of(2011))]


@POSTGRES.scenario(
    *([True, False, False], True, [False, False, False], True),
    *([None, ["approved", 1], ["approved", 1]], [["approved", 1], ["approved", 1], ["approved", 1]]),
)
async def an_id_goes_later_than_its_row(postgres: Postgres) -> Seen:
    """Then its order is a new one. The id of an order that is there stays, and so do those of other months."""
    gone, stays, other = _of(2012), _of(2012), _of(2013)
    await postgres.store.commit([a_proposal(gone, APPROVED), a_proposal(other, APPROVED)])
    async with postgres.maintenance() as session:
        await _begin(session, 2012)
        await _end(session, 2012)
        await postgres.store.commit([a_proposal(stays, APPROVED)])

        async def removed() -> list[bool]:
            page = await session.json("removed_orders", {**_PAGE, "upto": await session.value("now")})
            return [str(each.order_id) in page["ids"] for each in (gone, stays, other)]

        seen: Seen = [await removed()]
        seen.append(await session.value("unpublished_months") > 0)
        await session.value("end_publishing", {"upto": await session.value("now")})
        seen.append(await removed())
        is_early = await session.value("expired_key_months", {"cutoff": _LONG_AGO}) == 0
        seen.append(is_early and await session.value("expired_key_months", {"cutoff": _LATER}) > 0)
        await session.json("delete_keys", {**_PAGE, "cutoff": _LATER})
    seen.append([found and [found[0], found[-1]] for found in await _found(postgres, gone, stays, other)])
    answers = [await _answer(postgres, a_proposal(each, APPROVED)) for each in (gone, stays, other)]
    return [*seen, [[answer[0], answer[-1]] for answer in answers]]


@POSTGRES.scenario(
    *([["row_removed"]], ["constraint_violation"], False),
    *(["row_removed"], _APPROVED),
)
async def a_month_goes_while_somebody_writes_to_it(postgres: Postgres) -> Seen:
    """Who had begun is waited for, and goes with it. For whoever comes meanwhile there is no month, and no new one."""
    there, held, new = _of(2014), _of(2014), _of(2014)
    await postgres.store.commit([a_proposal(there, APPROVED)])
    async with postgres.maintenance() as session:
        await _begin(session, 2014)
        async with postgres.holding(a_proposal(held, APPROVED)):
            ending = asyncio.create_task(_end(session, 2014))

            async def is_unseen() -> bool:
                return await _found(postgres, there) != [_APPROVED]

            await wait_for_async(is_unseen, 20.0, "the month is being detached")
            seen: Seen = [await _found(postgres, there)]
            seen += [await _answer(postgres, a_proposal(new, APPROVED)), ending.done()]
        await ending
    seen.append(await _answer(postgres, a_proposal(held, REJECTED)))
    return [*seen, await _answer(postgres, a_proposal(new, APPROVED))]
