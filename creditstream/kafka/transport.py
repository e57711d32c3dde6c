"""What Faust gets in place of its own transport and its own statistics."""

from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.kafka.consumer import InOrderConsumer


class QuietMonitor(faust.Monitor):
    """Faust's own statistics without those that it keeps for every message; ours are counted by the pipeline."""

    def on_message_in(self, tp: TP, offset: int, message: Any) -> None: ...

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> None: ...

    def on_message_out(self, tp: TP, offset: int, message: Any) -> None: ...


class InOrderTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = InOrderConsumer
