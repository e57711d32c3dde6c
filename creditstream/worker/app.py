"""The Faust app: settings in, modules listed, dependencies opened. No logic."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import faust
import mode.loop
from aiokafka import ConsumerRecord
from yarl import URL

from creditstream.config.settings import Settings
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.lost_connections import mend_lost_connections
from creditstream.kafka.open_tables import OpenTables
from creditstream.kafka.reading import read_whatever_kafka_has
from creditstream.kafka.security import faust_credentials
from creditstream.kafka.table_files import CachedTable
from creditstream.kafka.topics import topic_name
from creditstream.kafka.transport import InOrderTransport, QuietMonitor
from creditstream.metrics.instruments import Instruments
from creditstream.order.pipeline import Pipeline
from creditstream.web.access.guard import MOST_BYTES, Guard
from creditstream.web.access.server import PlainWeb
from creditstream.web.routes import add_routes
from creditstream.worker.ending import STOPS_WITHIN, end_within
from creditstream.worker.intake import believed_headers, unread
from creditstream.worker.launcher import Worker
from creditstream.worker.logs import logging_config
from creditstream.worker.runtime import Runtime
from tables.seen import seen_table

mode.loop.use("uvloop")  # 20 % off Faust's own cost (docs/measurements/performance.md)
mend_lost_connections()
read_whatever_kafka_has()


class CreditApp(faust.App):
    """Faust's app with our consumer, our web server, our table, and the runtime as a part of it."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        """`options` are Faust's. Connects to nothing."""
        super().__init__(settings.group, **options)
        self.finalize()  # its table and pages read its configuration
        self.settings, self.guard, self.instruments = settings, Guard(settings), Instruments()
        self.runtime = Runtime(self, settings, seen_table(self), self.instruments)

    def _new_transport(self) -> InOrderTransport:
        return InOrderTransport(self.conf.broker_consumer, self)

    @property
    def group(self) -> InOrderConsumer:
        """This worker's membership in the consumer group. There once the app has started."""
        return cast(InOrderConsumer, self.consumer)

    @property
    def ownership(self) -> Runtime:
        """Told by the consumer which partitions are this worker's."""
        return self.runtime

    @property
    def pipeline(self) -> Pipeline:
        """There once the runtime has started."""
        return self.runtime.pipeline

    def page_places(self) -> int:
        """How many open pages there may be, as things stand."""
        return cast(PlainWeb, self.web).connections.page_places

    def refuse(self, record: ConsumerRecord, done: Callable[[], object], error: Exception | None = None) -> None:
        """A record that the consumer could not read, or not hand on: it has its letter. `done`: acknowledge it."""
        refused = unread(record, believed_headers(self.settings), done)
        if error is None:
            self.pipeline.refuse(refused, record.reason, record.fault, record.size)
        else:
            self.pipeline.unforeseen(refused, error, "read")

    async def on_start(self) -> None:
        await super().on_start()
        await self.add_runtime_dependency(self.runtime)

    async def on_stop(self) -> None:
        end_within(STOPS_WITHIN, lambda: int(self.crashed))
        await super().on_stop()
        await self.web.stop()  # before the runtime, which closes what its answers come from

    def _new_web(self) -> PlainWeb:
        return PlainWeb(self)

    def raw_topic(self, name: str, *, source: bool) -> Any:
        """A topic of raw bytes; `source`: this app acknowledges its records."""
        return self.topic(
            topic_name(self.settings, name),
            key_type=bytes,
            value_type=bytes,
            value_serializer="raw",
            acks=source,
            allow_empty=True,
        )


def create_app(settings: Settings) -> CreditApp:
    """The app, not started, connected to nothing. Faust gets explicit values: its variables are unheard (ADR 0020)."""
    app = CreditApp(
        settings,
        env={},
        version=1,
        origin="creditstream.worker.app",
        autodiscover=lambda: list(_MODULES),
        broker=[URL(f"kafka://{address.strip()}") for address in settings.kafka_brokers.split(",")],
        broker_credentials=faust_credentials(settings),
        broker_session_timeout=settings.session_timeout,
        # How long a connection that is dead without a word is waited for. A join's answer waits for all members, which
        # have 30 s: more than they need to drain.
        broker_rebalance_timeout=30.0,
        broker_request_timeout=max(40.0, settings.session_timeout),
        broker_heartbeat_interval=settings.session_timeout / 15,  # how soon a rebalance is noticed (ADR 0012)
        broker_commit_interval=1.0,
        broker_max_poll_records=1_000,
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=30_000,  # what is out of date about topics is so for this long, not for 5 minutes
        store="rocksdb://",
        datadir=Path(settings.data_dir),
        stream_buffer_maxsize=1_000,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_transport="tcp://",  # its default is a variable's when Faust is imported
        web_port=settings.web_port,
        web_bind=settings.web_bind,
        web_host="localhost",  # told to the group, and nobody asks there
        web_application_options={"client_max_size": MOST_BYTES},
        logging_config=logging_config(settings),
        worker_redirect_stdouts=False,
        Worker=Worker,
        Monitor=QuietMonitor,
        Table=CachedTable,
        TableManager=OpenTables,
    )
    add_routes(app)
    return app


_MODULES = ("agents.orders", "agents.orders_by_id", "agents.retries", "creditstream.operations.commands")
