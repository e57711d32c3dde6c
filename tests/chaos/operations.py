"""What an operator does while orders flow: more partitions, old months dropped, a customer forgotten; the documented
commands (docs/how-to), run again when a server went away under them, as it says there."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from aiokafka.errors import KafkaError

from devtools.programs import faust_command
from tests.chaos.evidence import Operation
from tests.chaos.history import KEPT_KEYS_MONTHS, KEPT_MONTHS, Pair, new_order, order_ids
from tests.chaos.rig import Rig
from tests.chaos.schedule import Planned
from tests.support.product import run_to_end

#: From 4, as in the documents.
GROWN_PARTITIONS = 12
#: What tests/chaos/mutated_command.py can put into a command.
MUTATIONS = ("recent_months_go", "no_tombstones", "statuses_not_copied", "letters_not_blanked")
_DONE_WITHIN = 240.0
_AGAIN = 2.0
_WINDOW = {
    "CREDITSTREAM_RETENTION_MONTHS": str(KEPT_MONTHS),
    "CREDITSTREAM_RETENTION_KEYS_MONTHS": str(KEPT_KEYS_MONTHS),
}
#: As if they had not been written since: retention leaves a month alone in which a row was.
_AGE = "UPDATE orders SET updated_at = created_at WHERE date_trunc('month', created_at, 'UTC') IN (%s, %s)"
_EXPIRE = "UPDATE dropped_months SET dropped_at = now() - interval '3 months' WHERE month = %s"
Before = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    return


async def run_command(rig: Rig, *arguments: str, before: Before = _nothing) -> Operation | None:
    """Until it ends with 0; None, and a failure of the run, when it does not. `before`: each time."""
    began = time.monotonic()
    said, tries = "", 0
    while time.monotonic() - began < _DONE_WITHIN:
        tries += 1
        try:
            await before()
            done = await asyncio.to_thread(run_to_end, rig.operator_environ | _WINDOW, _command(rig, *arguments))
        except (KafkaError, OSError, TimeoutError, subprocess.TimeoutExpired) as error:
            said = f"{type(error).__name__}: {error}"
        else:
            lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or [""]
            said = lines[0 if arguments[0] == "forget" and done.returncode == 0 else -1]
            # A try that failed after all was removed leaves nothing for the next one to find.
            if done.returncode == 0 or (tries > 1 and "nothing of this customer is there" in done.stderr):
                operation = Operation(arguments[0], tries, time.monotonic() - began, said)
                rig.operations.append(operation)
                return operation
        _log(rig, f"{time.strftime('%H:%M:%S')} {' '.join(arguments)}: try {tries}: {said}")
        await asyncio.sleep(_AGAIN)
    rig.failures.append(f"{' '.join(arguments)} is not done after {tries} tries: {said}")
    return None


def _log(rig: Rig, line: str) -> None:
    """Beside the workers' logs: why a command was run again."""
    with (rig.root / "logs" / "operators.log").open("a") as log:
        log.write(line + "\n")


def _command(rig: Rig, *arguments: str) -> list[str]:
    if rig.mutation:
        return [sys.executable, "-m", "tests.chaos.mutated_command", rig.mutation, *arguments]
    return faust_command(*arguments)


async def grow(rig: Rig, planned: Planned) -> None:
    """A planned stop of all workers while producers go on; no other fault of a worker meanwhile."""
    async with rig.staff:
        began = time.monotonic()
        numbers = sorted(rig.workers)
        await asyncio.gather(*(rig.stop(number) for number in numbers))
        stopped = time.monotonic() - began
        grown = await run_command(rig, "grow", "--partitions", str(GROWN_PARTITIONS), before=rig.status_book.close_era)
        if grown:
            rig.monitor.partitions = GROWN_PARTITIONS
            await rig.status_book.note_removals()
        started = time.monotonic()
        await rig.start(*numbers)
        now = time.monotonic()
        rig.operations.append(
            Operation(
                "planned stop", 1, now - began, f"stop {stopped:.1f} s, grow, start until ready {now - started:.1f} s"
            )
        )
    rig.monitor.fault_over("grow")


async def retention(rig: Rig, planned: Planned) -> None:
    """Two old months go; then the ids of one of them; then a new order of the other comes."""
    pair = rig.history.pairs.pop(0) if rig.history and rig.history.pairs else None
    if pair:
        await rig.execute(_AGE, pair.expiring, pair.remembered)
    if await run_command(rig, "retention") and pair:
        rig.purpose.dropped |= order_ids(pair.expiring_lines) | order_ids(pair.remembered_lines)
        await _expire(rig, pair)
        await rig.send([new_order(pair.remembered, int(planned.pick * 1_000))])
    rig.monitor.fault_over("retention")


async def _expire(rig: Rig, pair: Pair) -> None:
    await rig.execute(_EXPIRE, pair.expiring)
    if await run_command(rig, "retention"):
        rig.purpose.expired |= order_ids(pair.expiring_lines)


async def forget(rig: Rig, planned: Planned) -> None:
    """A customer's rows, statuses and letters."""
    if rig.history and rig.history.customers:
        customer = rig.history.customers.pop(0)
        rig.purpose.forgotten.add(customer)
        await run_command(rig, "forget", "--customer", customer, "--by", "chaos")
    rig.monitor.fault_over("forget")
