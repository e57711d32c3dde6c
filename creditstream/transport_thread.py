"""The consumer's own thread, in which aiokafka speaks to Kafka: starting points, commits, the group's signs of life."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

from aiokafka.errors import KafkaError, NoError, RebalanceInProgressError
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.lease import Lease

#: A commit that the broker does not answer is given up after this long and made again with newer offsets.
_COMMIT_TIMEOUT = 5.0
_STOP_TIMEOUT = 8.0
_SIGNS_OF_LIFE = (HeartbeatRequest, SyncGroupRequest)
_STILL_A_MEMBER = (NoError.errno, RebalanceInProgressError.errno)
#: Goes on while the process is stopped and, where there is such a clock, while the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_clock() -> float:
    """Seconds of the clock by which leases are counted."""
    return time.clock_gettime(_CLOCK)


class InOrderThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread: failed commits are news, not a crash."""

    #: Renewed with every answered heartbeat; the consumer gives it.
    lease: Lease

    async def on_start(self) -> None:
        """Watch the group's coordinator answer: the lease runs from when the answered request was sent."""
        await super().on_start()
        coordinator, lease = self._ensure_consumer()._coordinator, self.lease
        send = coordinator._send_req

        async def watched(request: Any) -> Any:
            sent_at = lease_clock()
            response = await send(request)
            if isinstance(request, _SIGNS_OF_LIFE) and response.error_code in _STILL_A_MEMBER:
                lease.renew(sent_at)
            return response

        coordinator._send_req = watched

    async def on_thread_stop(self) -> None:
        """Bounded, and over when it is over: with the broker away aiokafka's own stop may wait, or be cancelled."""
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

    async def starting_points(self, partitions: set[TP]) -> dict[TP, tuple[int, int]]:
        """For each partition where to start (the committed offset, or else the beginning) and where its log ends."""
        return cast(dict[TP, tuple[int, int]], await self.call_thread(self._starting_points, partitions))

    async def _starting_points(self, partitions: set[TP]) -> dict[TP, tuple[int, int]]:
        consumer = self._ensure_consumer()
        tps = sorted(partitions)
        committed = await asyncio.gather(*(consumer.committed(tp) for tp in tps))
        first, last = await asyncio.gather(consumer.beginning_offsets(tps), consumer.end_offsets(tps))
        points = {}
        for tp, offset in zip(tps, committed, strict=True):
            usable = offset is not None and first[tp] <= offset <= last[tp]
            if offset is not None and not usable:
                self.log.error("%s: committed offset %s is not in the log %s-%s", tp, offset, first[tp], last[tp])
            points[tp] = (offset if usable else first[tp], last[tp])
        return points
