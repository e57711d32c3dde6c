"""`make chaos ALERTS=1`: a healthy time, then a fault for every alert; a real Prometheus says which fires when."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from creditstream.config.load import load_settings
from devtools.settled import wait_until_settled
from devtools.stack import StackError
from tests.chaos.alarms import AGES, FACTOR, alert_names, watching_prometheus
from tests.chaos.drilling import RESOLVED_WITHIN, Drilled, at_work, healthy, play
from tests.chaos.drills import DRILLS, Drill, Scene
from tests.chaos.opening import open_rig
from tests.chaos.progress import Shown
from tests.chaos.rig import Rig
from tests.chaos.runner import alone, run_program
from tests.chaos.steady import Steady
from tests.support.product import faust

_LOCAL = Path(".local")
_WORKERS = 3
#: What the rules wait for is set in the worker, too: five minutes are five seconds here.
SETTINGS = {
    "STUCK_AFTER": 5,
    "DEAD_LETTER_LIMIT": 20,
    "DEAD_LETTER_WINDOW": 5,
    "RISK_BREAKER_MIN_CALLS": 20,
}


async def alerts(*, root: Path, cache: Path, names: Sequence[str], minutes: float, rate: float, show: Shown) -> Drilled:
    """`names`: the alerts whose faults are played. The books are audited at the end."""
    drilled = Drilled()
    async with open_rig(root, cache, workers=_WORKERS, brokers=1, say=show.say, settings=SETTINGS) as rig:
        scene = Scene(rig, Steady(rig.environ["CREDITSTREAM_KAFKA_BROKERS"], "orders", rate), rig)
        urls = [rig.url(number) for number in rig.running()]
        with watching_prometheus(root / "prometheus", urls) as server:
            async with at_work(server, scene, lambda: [rig.url(number) for number in rig.running()]) as alarms:
                await alarms.until_quiet(alert_names(), RESOLVED_WITHIN)
                await healthy(alarms, minutes * 60, drilled, show.say)
                await play(chosen(names), scene, alarms, drilled, show.say)
        show.say(f"books: {await _audited(rig, scene.load.sent)}")
    return drilled


def chosen(names: Sequence[str]) -> list[Drill]:
    return [drill for drill in DRILLS if set(names) & {*drill.alerts, *drill.after}]


async def _audited(rig: Rig, sent: int) -> str:
    await wait_until_settled(load_settings(rig.environ), sent, show=lambda *_: nullcontext(lambda _: None))
    done = await asyncio.to_thread(faust, rig.environ, "audit", "--json")
    if done.returncode:
        raise StackError(f"the books are not clean: {done.stdout}{done.stderr}")
    return f"clean, {sent:,} records"


def render(console: Console, drilled: Drilled) -> None:
    table = Table(title=f"Alerts, the rules {FACTOR:g} times as fast, ages {AGES:g} times as young")
    for name in ("alert", "fault", "fires after s", "resolved after s"):
        table.add_column(name, justify="right" if name.endswith(" s") else "left", no_wrap=name == "alert")
    for row in drilled.rows:
        table.add_row(row.alert, row.fault, _seconds(row.fires), _seconds(row.resolved))
    console.print(table)
    hours = drilled.healthy_seconds * FACTOR / 3_600
    wrong = ", ".join(drilled.false_alarms) or "nothing"
    console.print(f"healthy for {drilled.healthy_seconds:.0f} s ({hours:.1f} h of the rules' time): {wrong} fired")
    console.print("all fired and were resolved" if drilled.clean else "NOT clean")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos ALERTS=1", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long it is healthy first; a minute is an hour")
    parser.add_argument("--only", default="", help=f"faults of these alerts: {', '.join(alert_names())}")
    parser.add_argument("--rate", type=float, default=60.0, help="orders per second")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else alert_names()
    if unknown := set(names) - set(alert_names()):
        parser.error(f"no such alert: {', '.join(sorted(unknown))}")
    with alone(parser) as (root, show):
        drilled = asyncio.run(
            alerts(
                root=root,
                cache=_LOCAL / "cache",
                names=names,
                minutes=options.minutes,
                rate=options.rate,
                show=show,
            )
        )
    (_LOCAL / "chaos" / "alerts.json").write_text(json.dumps(asdict(drilled), indent=2) + "\n")
    render(Console(), drilled)
    return 0 if drilled.clean else 1


if __name__ == "__main__":
    run_program(main)
