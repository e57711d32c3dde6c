"""For how long a worker stands still in a rebalance, by its own metric, read from outside."""

import asyncio
import time
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.rig import Rig

_METRIC = "creditstream_rebalance_pause_seconds"
#: A rebalance that has not ended by then is another fault's affair.
_WITHIN = 20.0
_POLL = 0.2


class Pauses(NamedTuple):
    """How many, and their seconds in all, since the worker started."""

    times: float
    seconds: float


async def read_pauses(rig: Rig) -> dict[int, Pauses]:
    """Of every worker that answers; those that do not are left out."""
    found = {}
    for number in rig.running():
        try:
            found[number] = await asyncio.to_thread(_read, f"{rig.url(number)}/metrics")
        except OSError:
            continue
    return found


async def wait_for_pauses(rig: Rig, before: Mapping[int, Pauses]) -> list[float]:
    """Seconds that each of those workers stood still since `before`, once all have; those that died are left out."""
    end = time.monotonic() + _WITHIN
    while True:
        now = await read_pauses(rig)
        same = {number: now[number] for number in before if number in now and now[number].times >= before[number].times}
        moved = all(pauses.times > before[number].times for number, pauses in same.items())
        if moved or time.monotonic() >= end:
            return [pauses.seconds - before[number].seconds for number, pauses in same.items()]
        await asyncio.sleep(_POLL)


def _read(url: str) -> Pauses:
    with urllib.request.urlopen(url, timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    return Pauses(samples.get(f"{_METRIC}_count", 0.0), samples.get(f"{_METRIC}_sum", 0.0))
