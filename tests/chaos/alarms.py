"""A real Prometheus over real workers, with the project's rules on a faster clock, and what it said when."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.scaled import scaled
from tests.support.prometheus import Prometheus, prometheus
from tests.support.servers import ROOT

#: A month's objective in twelve hours, a healthy hour in a minute.
FACTOR = 60.0
#: Ages are scaled less: workers commit every second and look at themselves every five, whatever the rules' clock.
AGES = 10.0
_RULES = ROOT / "deploy" / "prometheus"
_POLL = 0.25


def alert_names() -> list[str]:
    """In the order of the file."""
    groups = yaml.safe_load((_RULES / "alerts.yml").read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


@contextmanager
def watching_prometheus(
    folder: Path, urls: Sequence[str], factor: float = FACTOR, ages: float = AGES
) -> Iterator[Prometheus]:
    """Scrapes those workers every second, and judges every second."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in ("recording.yml", "alerts.yml"):
        files.append(folder / name)
        files[-1].write_text(yaml.safe_dump(scaled(yaml.safe_load((_RULES / name).read_text()), factor, ages)))
    targets = [url.removeprefix("http://") for url in urls]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(file.absolute()) for file in files],
        "scrape_configs": [{"job_name": "creditstream", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus(folder / "prometheus.yml", folder) as server:
        yield server


class Alarms:
    """What fires, by the clock of time.monotonic. `fired` and `resolved`: every time that it did."""

    def __init__(self, server: Prometheus) -> None:
        self._server = server
        self.firing: set[str] = set()
        self.pending: set[str] = set()
        self.fired: dict[str, list[float]] = defaultdict(list)
        self.resolved: dict[str, list[float]] = defaultdict(list)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(OSError):
                self._note(await asyncio.to_thread(self._server.api, "alerts"), time.monotonic())
            await asyncio.sleep(_POLL)

    def _note(self, answer: Any, now: float) -> None:
        states: dict[str, set[str]] = {"firing": set(), "pending": set()}
        for alert in answer["alerts"]:
            states[alert["state"]].add(alert["labels"]["alertname"])
        for name in states["firing"] - self.firing:
            self.fired[name].append(now)
        for name in self.firing - states["firing"]:
            self.resolved[name].append(now)
        self.firing, self.pending = states["firing"], states["pending"] - states["firing"]

    async def until_fired(self, names: Iterable[str], since: float, within: float) -> list[str]:
        """Those that did not since then, at the latest `within` seconds from now."""
        return await self._until_none(lambda: [n for n in names if all(at < since for at in self.fired[n])], within)

    async def until_quiet(self, names: Iterable[str], within: float) -> list[str]:
        """Those that still fire or are pending `within` seconds from now."""
        return await self._until_none(lambda: sorted(set(names) & (self.firing | self.pending)), within)

    async def _until_none(self, left: Callable[[], list[str]], within: float) -> list[str]:
        end = time.monotonic() + within
        while True:
            found = left()
            if not found or time.monotonic() >= end:
                return found
            await asyncio.sleep(_POLL)
