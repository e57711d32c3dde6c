"""Whether the worker gets on: partitions that are stuck, a group that is silent, transactions that hide records."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.client import cluster_id
from creditstream.kafka.topics import ORDERS_RETRY, topic_name
from creditstream.kafka.watchdog import Standing, Watchdog
from creditstream.order.brakes import Brakes
from creditstream.order.held_up import HeldUp
from creditstream.order.retries_at_work import RetriesAtWork, RetryWork

log = logging.getLogger(__name__)
_EVERY = 5.0
#: Without a word from the group for so many session time-outs, while Kafka answers, something is wrong with its client.
_SILENT_SESSIONS = 10
#: A group that is silent: its next word is due, and does not come.
_UNHEARD = Standing(0, 1)
#: A partition whose position is not known: it is due.
_NOWHERE = Standing(0, 1)
_ANSWER_WITHIN = 5.0


class Group(Protocol):
    """This worker's membership in the consumer group: `creditstream.kafka.consumer.InOrderConsumer`."""

    def lease_holds(self) -> bool: ...

    def standings(self) -> dict[TP, Standing]: ...

    def unpositioned(self) -> set[TP]: ...

    def open_transactions(self) -> dict[TP, Standing]: ...


class Member(Protocol):
    """The app: it gives its group when it is asked, as its consumer is not there before it starts."""

    @property
    def group(self) -> Group: ...


class Orders(Protocol):
    """The pipeline."""

    @property
    def retries(self) -> RetriesAtWork: ...

    @property
    def brakes(self) -> Brakes: ...

    @property
    def held_up(self) -> HeldUp: ...


class Liveness:
    """What does not get on is said in the log, and liveness fails, so that the worker is restarted."""

    def __init__(self, app: Member, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._settings, self._clock = app, settings, clock
        #: Partitions, those of `orders-retry` three times: taken, started, ended.
        self.watchdog: Watchdog[tuple[TP, str]] = Watchdog(settings.stuck_after)
        self._silent_after = min(settings.stuck_after, _SILENT_SESSIONS * settings.session_timeout)
        self._silence: Watchdog[str] = Watchdog(self._silent_after)
        self._transactions: Watchdog[TP] = Watchdog(settings.stuck_after)
        #: Partitions that have work and do not get on with it, or all when the group's client is silent.
        self.stuck: list[str] = []
        #: Partitions that cannot be read on because a producer does not end its transaction: no restart helps there.
        self.hanging: list[str] = []

    async def run(self, orders: Orders) -> None:
        """For as long as the worker lives."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.run_once(orders)

    async def run_once(self, orders: Orders) -> None:
        """One look."""
        now = self._clock()
        stuck = self._look_for_stuck(orders, now)
        self._look_for_transactions(now)
        self.stuck = stuck or await self._silent()

    def _look_for_stuck(self, orders: Orders, now: float) -> list[str]:
        # While intake is paused on purpose, a restart would mend nothing.
        paused = orders.brakes.notes() or orders.brakes.problems()
        nowhere = {(tp, ""): _NOWHERE for tp in self._app.group.unpositioned()}
        standings = {} if paused else self._standings(orders) | nowhere
        found = {tp for tp, _ in self.watchdog.look(standings, now)} - orders.held_up.partitions()
        stuck = sorted(f"{tp.topic}[{tp.partition}]" for tp in found)
        if stuck and stuck != self.stuck:
            after = self._settings.stuck_after
            log.error("no progress for %.0f s although there is work: %s", after, ", ".join(stuck))
        return stuck

    def _standings(self, orders: Orders) -> dict[tuple[TP, str], Standing]:
        """Of `orders-retry` the prefix says nothing: orders wait there for up to `retry_max_delay`."""
        found, retry_topic = self._app.group.standings(), topic_name(self._settings, ORDERS_RETRY)
        retries = orders.retries.look(frozenset(tp.partition for tp in found if tp.topic == retry_topic))
        standings = {(tp, ""): standing for tp, standing in found.items() if tp.topic != retry_topic}
        for partition, work in retries.items():
            tp = TP(retry_topic, partition)
            standings |= {(tp, step): standing for step, standing in _steps(found[tp], work).items()}
        return standings

    def _look_for_transactions(self, now: float) -> None:
        at = self._app.group.open_transactions()
        hanging = [
            f"{tp.topic}[{tp.partition}]: a transaction that its producer does not end hides what comes from offset "
            f"{at[tp].position} on"
            for tp in sorted(self._transactions.look(at, now))
        ]
        if hanging and hanging != self.hanging:
            log.error("no progress for %.0f s: %s", self._settings.stuck_after, "; ".join(hanging))
        self.hanging = hanging

    async def _silent(self) -> list[str]:
        """The group, if its client is not answered although Kafka answers others: aiokafka hangs (docs/adr/0015)."""
        excused = self._app.group.lease_holds() or not await self._kafka_answers()
        standings = {} if excused else {f"all of the group {self._settings.group}": _UNHEARD}
        silent = self._silence.look(standings, self._clock())
        if silent and silent != self.stuck:
            log.error(
                "no word from the consumer group for %.0f s although Kafka answers: this worker should be restarted",
                self._silent_after,
            )
        return silent

    async def _kafka_answers(self) -> bool:
        """Over a connection of its own: those that are there may be what hangs."""
        try:
            await asyncio.wait_for(cluster_id(self._settings), _ANSWER_WITHIN)
        except (StartError, KafkaError, OSError):  # a TimeoutError is one of these
            return False
        return True


def _steps(standing: Standing, work: RetryWork) -> dict[str, Standing]:
    """What must get on of a partition of `orders-retry`. Records are taken one after the other."""
    steps = {}
    if work.takes:
        steps["taken"] = Standing(standing.delivered - max(0, standing.unfinished - work.held), standing.end)
    if work.next_due is not None:
        steps["started"] = Standing(work.next_due, work.next_due + 1)
    if work.first_started is not None:
        steps["ended"] = Standing(work.first_started, work.first_started + 1)
    return steps
