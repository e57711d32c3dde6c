"""I1 and I2 in whatever order things happen: each record has its outcome, rows, statuses and letters agree."""

import logging

import pytest

from creditstream.order.home_partition import home_partition
from schemas.order import decode_order
from schemas.status import StatusRecord, decode_status, published
from tests.unit.pipeline_rig import id_of, run
from tests.unit.world import PLACES, World

_SEEDS = 60


@pytest.mark.parametrize("deadly", [False, True])
def test_every_order_has_one_outcome_whatever_happens_when(deadly: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in range(_SEEDS):
        assert run(_play(World(seed, deadly=deadly))) == [], f"seed {seed}"


async def _play(world: World) -> list[str]:
    for _ in range(world.dice.randrange(40, 160)):
        await world.step()
    await world.rest()
    problems = world.problems + _problems(world)
    world.risk.is_well = True
    for letters in world.letters().values():
        await world.send_again(letters[-1])
    await world.rest()
    problems += [
        f"sent again, the API well: {row.reason}"
        for row in world.store.rows.values()
        if row.status == "under_review" and row.reason != "unknown_product"
    ]
    return problems + world.problems + _problems(world)


def _problems(world: World) -> list[str]:
    found = [f"not done: {place}" for place in PLACES if world.committed(place) != len(world.records(place))]
    letters = [letters[-1] for letters in world.letters().values()]
    for partition, records in world.orders.items():
        for offset, record in enumerate(records):
            row = world.store.rows[id_of(record.value or b"")]
            fingerprint = decode_order(record.value, latest=world.rig.now, max_bytes=10_000).fingerprint()
            mine = [each for each in letters if (each.original_partition, each.original_offset) == (partition, offset)]
            if row.is_of(fingerprint) == any(each.reason == "conflict" for each in mine):
                found.append(f"orders[{partition}]@{offset} and its letters: {[each.reason for each in mine]}")
    statuses = _last_statuses(world, found)
    for order_id, row in world.store.rows.items():
        if statuses.get(order_id) != published(row):
            found.append(f"row and last status differ: {row.status} {row.version}")
        told = [(each.reason, each.row_version) for each in letters if each.order_id == order_id]
        if row.status == "under_review" and (row.reason, row.version) not in told:
            found.append(f"no letter of {row.reason} {row.version} among {told}")
    return found


def _last_statuses(world: World, found: list[str]) -> dict[object, StatusRecord]:
    last: dict[object, StatusRecord] = {}
    for partition, record in world.publisher.topics["order-status"]:
        status = decode_status(record.value or b"")
        before = last.get(status.order_id)
        if before and (before.version > status.version or (before.status != "under_review" and before != status)):
            found.append(f"{before.status} {before.version} was followed by {status.status} {status.version}")
        if partition != home_partition(status.order_id, 4):
            found.append("a status on a partition that is not its order's")
        last[status.order_id] = status
    return last
