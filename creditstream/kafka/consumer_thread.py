"""The consumer's own thread, in which aiokafka speaks to Kafka: starting points, commits, the group's signs of life."""

import asyncio
import copy
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError, NoError, RebalanceInProgressError
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.config.patience import KAFKA, patiently
from creditstream.kafka.client import stop
from creditstream.kafka.lease import Lease
from creditstream.kafka.offsets import StartingPoint
from creditstream.kafka.reading import just_read, states, with_holes

#: A commit that the broker does not answer is given up after this long and made again with newer offsets.
_COMMIT_TIMEOUT = 5.0
_STOP_TIMEOUT = 8.0
_STARTING_POINTS_TIMEOUT = 15.0
_METADATA_RETRY = 0.3
#: Kafka answers one request of a connection after the other: who asks where a partition ends waits for the fetch before
#: it. A rebalance asks several times; with Faust's 1,500 it took seconds longer (docs/measurements/chaos.md).
_FETCH_MAX_WAIT_MS = 200
_SIGNS_OF_LIFE = (HeartbeatRequest, SyncGroupRequest)
_STILL_A_MEMBER = (NoError.errno, RebalanceInProgressError.errno)
#: Goes on while the process is stopped and, where there is such a clock, while the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_clock() -> float:
    """Seconds of the clock by which leases are counted."""
    return time.clock_gettime(_CLOCK)


class InOrderThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread: failed commits are news, not a crash."""

    def __init__(self, consumer: Any, lease: Lease, **options: Any) -> None:
        """`lease`: renewed with every answered heartbeat."""
        self._lease = lease
        super().__init__(consumer, **options)

    def _create_worker_consumer(self, transport: Any) -> Any:
        """What a producer aborted never existed. Faust asks for that only with its own transactions."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        await patiently(cast(Any, self.consumer).app.settings, self._start_once, KAFKA)
        consumer = self._ensure_consumer()
        consumer._fetcher._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS
        coordinator = consumer._coordinator
        self._renew_lease(coordinator)
        self._assign_known_topics_only(coordinator)

    async def _start_once(self) -> None:
        """A broker that restarts while a worker starts is waited for, as before the start."""
        try:
            await super().on_start()
        except (KafkaError, OSError):
            failed, self._consumer = self._ensure_consumer(), None
            with suppress(KafkaError, OSError):
                await stop(failed)
            raise

    def _renew_lease(self, coordinator: Any) -> None:
        """Watch the group's coordinator answer: the lease runs from when the answered request was sent."""
        send, lease = coordinator._send_req, self._lease

        async def watched(request: Any) -> Any:
            sent_at = lease_clock()
            response = await send(request)
            if isinstance(request, _SIGNS_OF_LIFE) and response.error_code in _STILL_A_MEMBER:
                lease.renew(sent_at)
            return response

        coordinator._send_req = watched

    def _assign_known_topics_only(self, coordinator: Any) -> None:
        """The group's leader gives out no partitions before it knows all topics.

        A broker that has just come back may not know them yet. Faust's assignor then "ignores" them: nobody owns
        anything, and the group is content with that until metadata are refreshed, five minutes later.
        """
        assign, client = coordinator._perform_assignment, self._ensure_consumer()._client

        async def assign_all(response: Any) -> Any:
            members = [ConsumerProtocol.METADATA.decode(member[-1]) for member in response.members]
            topics = {topic for member in members for topic in member.subscription}
            client.set_topics(topics)
            while missing := [topic for topic in topics if not client.cluster.partitions_for_topic(topic)]:
                self.log.warning("Kafka does not know %s yet: partitions are assigned when it does", ", ".join(missing))
                await asyncio.sleep(_METADATA_RETRY)
                await client.force_metadata_update()
            return await assign(response)

        coordinator._perform_assignment = assign_all

    async def on_thread_stop(self) -> None:
        """Bounded, and over when it is over: with the broker away aiokafka's own stop may wait, or be cancelled.

        A worker that crashed may go on for a while after it has left its group.
        """
        self._lease.end()
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is None:
            return
        try:
            await asyncio.wait_for(self._consumer.stop(), _STOP_TIMEOUT)
        except (asyncio.CancelledError, KafkaError, TimeoutError) as error:
            self.log.warning("the consumer did not leave its group in order: %s", type(error).__name__)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        owned = self.assignment()
        wanted = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in owned
        }
        if not wanted:
            return False
        try:
            await asyncio.wait_for(self._ensure_consumer().commit(wanted), _COMMIT_TIMEOUT)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("offsets not committed, will be with the next ones: %s", type(error).__name__)
            return False
        return True

    async def _fetch_records(self, consumer: Any, active_partitions: set[TP], *args: Any, **bounds: Any) -> Any:
        """Partitions come with a Hole wherever their log has nothing that is to be read. Only sources are fetched.

        An error of one partition takes along what the same turn has read of others: that is read again. Left over, the
        word of where it was read from would make a Hole of it.
        """
        try:
            found: Any = await super()._fetch_records(consumer, active_partitions, *args, **bounds)
        except KafkaError:
            for tp, (start, _) in just_read(consumer).items():
                consumer._fetcher.seek_to(tp, start)
            raise
        for tp, read in just_read(consumer).items():
            if records := with_holes(found.get(tp, []), *read):
                found[tp] = records
        return found

    def highwater(self, tp: TP) -> Any:
        """The offset behind the last record that may be read, or None: behind it, a transaction may be open."""
        state = self._state(tp)
        if state is None:
            return None
        return state.highwater if state.lso is None or state.lso < 0 else state.lso

    def open_transaction(self, tp: TP) -> tuple[int, int] | None:
        """From where to where nothing may be read because a producer has not ended its transaction; None: nowhere."""
        state = self._state(tp)
        if state is None or state.lso is None or state.highwater is None:
            return None
        return (state.lso, state.highwater) if 0 <= state.lso < state.highwater else None

    def _state(self, tp: TP) -> Any:
        """What aiokafka knows of a partition. None: it is not assigned, which this thread may learn at any moment."""
        return states(self._ensure_consumer()).get(cast(Any, tp))

    async def starting_points(self, partitions: set[TP]) -> dict[TP, StartingPoint]:
        """For each partition where to start (the committed offset, or else the beginning) and where its log ends."""
        return cast(dict[TP, StartingPoint], await self.call_thread(self._starting_points, partitions))

    async def _starting_points(self, partitions: set[TP]) -> dict[TP, StartingPoint]:
        """In time: the thread does other things one after the other behind it. Raises TimeoutError."""
        consumer = self._ensure_consumer()
        tps = sorted(partitions)
        async with asyncio.timeout(_STARTING_POINTS_TIMEOUT):
            committed = await asyncio.gather(*(consumer.committed(tp) for tp in tps))
            first, last = await asyncio.gather(consumer.beginning_offsets(tps), _ends(consumer, tps))
        points = {}
        for tp, offset in zip(tps, committed, strict=True):
            usable = offset is not None and first[tp] <= offset <= last[tp]
            if offset is not None and not usable:
                self.log.error("%s: committed offset %s is not in the log %s-%s", tp, offset, first[tp], last[tp])
            gone_from = offset if offset is not None and offset < first[tp] else None
            points[tp] = StartingPoint(offset if usable else first[tp], last[tp], gone_from, offset is not None)
        return points


async def _ends(consumer: Any, tps: list[TP]) -> dict[TP, int]:
    """Where the logs end, open transactions included: an older version reads, and commits, as far as that."""
    everything = copy.copy(consumer._fetcher)
    everything._isolation_level = READ_UNCOMMITTED
    return cast(dict[TP, int], await everything.end_offsets(tps, consumer._request_timeout_ms))
