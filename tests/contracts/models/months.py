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
_MIDDLE = datetime(2020, 1, 1, tzinfo=UTC)
_FIRST = "00000000-0000-0000-0000-000000000000"
_UNSEEN, _NO_MONTH = ["not yet", "row_removed"], ["not yet", "constraint_violation"]
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


async def _end(session: Maintenance, year: int, cutoff: datetime = _LATER) -> int:
    """How many of its orders were written since, by which it is kept."""
    await session.change("detach_statement", {"month": _month(year)})
    await session.patient_value("set_aside", {"month": _month(year)})
    written: int = await session.patient_value("keep_month", {"month": _month(year), "cutoff": cutoff})
    if not written:
        await session.change("drop_statement", {"month": _month(year)})
        await session.value("end_drop", {"month": _month(year)})
    return written


async def _answer(postgres: Postgres, proposal: Proposal) -> list[Any]:
    return told((await postgres.store.commit([proposal]))[proposal.order.order_id])


async def _until_unseen(postgres: Postgres, order: Order) -> None:
    async def is_unseen() -> bool:
        return await _found(postgres, order) != [_APPROVED]

    await wait_for_async(is_unseen, 20.0, "the month is being detached")


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
        seen: Seen = [await _counted(session, 2011, at) for at in (_LONG_AGO, _MIDDLE, _LATER)]
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
    *([_UNSEEN], _NO_MONTH, False),
    *(0, [["row_removed"], ["row_removed"], None], ["row_removed"], _APPROVED),
)
async def a_month_goes_while_somebody_writes_to_it(postgres: Postgres) -> Seen:
    """Who had begun is waited for, and goes with it. Whoever comes meanwhile waits: for the month that is made then."""
    there, held, new = _of(2014), _of(2014), _of(2014)
    await postgres.store.commit([a_proposal(there, APPROVED)])
    async with postgres.maintenance() as session:
        await _begin(session, 2014)
        async with postgres.holding(a_proposal(held, APPROVED)):
            ending = asyncio.create_task(_end(session, 2014))
            await _until_unseen(postgres, there)
            seen: Seen = [await _found(postgres, there)]
            seen += [await _answer(postgres, a_proposal(new, APPROVED)), ending.done()]
        seen += [await ending, await _found(postgres, there, held, new)]
    seen.append(await _answer(postgres, a_proposal(held, REJECTED)))
    return [*seen, await _answer(postgres, a_proposal(new, APPROVED))]


@POSTGRES.scenario(
    *([_UNSEEN], _UNSEEN, _NO_MONTH, 2, False, [_APPROVED, _APPROVED, None], [2, 2, 0, 0]),
    *(_APPROVED, _APPROVED, [3, 0, 0, 0], 0, [["row_removed"], ["row_removed"], ["row_removed"]]),
)
async def a_month_that_was_written_to_is_kept(postgres: Postgres) -> Seen:
    """Its orders wait until it is a partition again: the known ones and the new ones. Later it goes like any other."""
    there, held, new = _of(2015), _of(2015), _of(2015)
    await postgres.store.commit([a_proposal(there, APPROVED)])
    async with postgres.maintenance() as session:
        await _begin(session, 2015)
        async with postgres.holding(a_proposal(held, APPROVED)):
            ending = asyncio.create_task(_end(session, 2015, _LONG_AGO))
            await _until_unseen(postgres, there)
            seen: Seen = [await _found(postgres, there)]
            seen += [await _answer(postgres, a_proposal(each, REJECTED)) for each in (there, new)]
        seen += [await ending, _month(2015) in await session.json("begun_months")]
        seen += [await _found(postgres, there, held, new), await _counted(session, 2015, _MIDDLE)]
        seen += [
            await _answer(postgres, a_proposal(held, REJECTED)),
            await _answer(postgres, a_proposal(new, APPROVED)),
        ]
        seen.append(await _counted(session, 2015, _LATER))
        await _begin(session, 2015)
        seen.append(await _end(session, 2015))
    return [*seen, await _found(postgres, there, held, new)]


@POSTGRES.scenario(
    _NO_MONTH, _NO_MONTH, _APPROVED, [_UNSEEN, _APPROVED], 1, [_APPROVED, _APPROVED], [2, 0, 0, 0], False
)
async def a_month_is_made_anew_while_nobody_is_at_work_on_the_old_one(postgres: Postgres) -> Seen:
    """`retention` was broken off when it was detached: run again, it keeps the orders beside the new ones."""
    there, new = _of(2016), _of(2016)
    await postgres.store.commit([a_proposal(there, APPROVED)])
    async with postgres.maintenance() as session:
        await _begin(session, 2016)
        await session.change("detach_statement", {"month": _month(2016)})
        seen: Seen = [await _answer(postgres, a_proposal(new, APPROVED))]
        await session.value("set_aside", {"month": _month(2016)})
        seen.append(await _answer(postgres, a_proposal(new, APPROVED)))

    async def is_made() -> bool:
        return await _answer(postgres, a_proposal(new, APPROVED)) != _NO_MONTH

    await wait_for_async(is_made, 20.0, "the other session has ended, and the month is made")
    seen += [await _answer(postgres, a_proposal(new, APPROVED)), await _found(postgres, there, new)]
    async with postgres.maintenance() as session:
        seen += [await _end(session, 2016, _LONG_AGO), await _found(postgres, there, new)]
        seen += [await _counted(session, 2016, _LATER), _month(2016) in await session.json("begun_months")]
    return seen


@POSTGRES.scenario([True, False], [_UNSEEN, _UNSEEN], 1, False, [None, _APPROVED], [_APPROVED, _APPROVED])
async def a_month_that_is_kept_forgets_no_earlier_drop(postgres: Postgres) -> Seen:
    """The ids of the orders that went with that one go in their time. Those of orders that are kept do not."""
    gone, stays = _of(2017), _of(2017)
    await postgres.store.commit([a_proposal(gone, APPROVED)])
    async with postgres.maintenance() as session:
        await _begin(session, 2017)
        await _end(session, 2017)
        await postgres.store.commit([a_proposal(stays, APPROVED)])
        page = await session.json("removed_orders", {**_PAGE, "upto": await session.value("now")})
        seen: Seen = [[str(each.order_id) in page["ids"] for each in (gone, stays)]]
        await session.value("end_publishing", {"upto": await session.value("now")})
        await _begin(session, 2017)
        await session.change("detach_statement", {"month": _month(2017)})
        await session.json("delete_keys", {**_PAGE, "cutoff": _LATER})
        seen.append(await _found(postgres, gone, stays))  # it is open which of them will be there
        seen += [await _end(session, 2017, _LONG_AGO), _month(2017) in await session.json("begun_months")]
        await session.json("delete_keys", {**_PAGE, "cutoff": _LATER})
    seen.append(await _found(postgres, gone, stays))
    return [*seen, [await _answer(postgres, a_proposal(each, APPROVED)) for each in (gone, stays)]]
