"""What Faust gets in place of its own transport and its own statistics."""

from typing import Any, cast

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.config.patience import KAFKA, patiently
from creditstream.kafka.client import start
from creditstream.kafka.consumer import InOrderConsumer


class QuietMonitor(faust.Monitor):
    """Faust's own statistics without those that it keeps for every message; ours are counted by the pipeline."""

    def on_message_in(self, tp: TP, offset: int, message: Any) -> None: ...

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> None: ...

    def on_message_out(self, tp: TP, offset: int, message: Any) -> None: ...


class PatientProducer(driver.Producer):
    """Faust's own producer. A broker that restarts while a worker starts is waited for, as before the start."""

    async def on_start(self) -> None:
        """In place of Faust's."""
        await super(driver.Producer, self).on_start()
        await patiently(cast(Any, self.app).settings, self._start_once, KAFKA)

    async def _start_once(self) -> None:
        self._producer = self._new_producer()
        await start(self._producer)


class InOrderTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = InOrderConsumer
    Producer = PatientProducer
