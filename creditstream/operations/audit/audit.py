"""One audit: the books are read one after the other into a ledger, which compares them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from rich.progress import Progress

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Records, Topics
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, ORDERS_DEAD_LETTER, topic_name
from creditstream.operations.audit.ledger import Ledger
from creditstream.operations.audit.report import Report
from creditstream.operations.dead_letter import read_letter
from creditstream.operations.progress import progress_bars
from creditstream.order.record_time import believed_ms, moment
from creditstream.store.pages import read_removed, read_rows
from schemas.order import InvalidOrder, decode_order


async def audit(settings: Settings, *, progress: bool = False) -> Report:
    """Reconcile. `progress`: bars on standard error, if it is a terminal.

    Meant for a pipeline at rest: a record that is still on its way counts as lost, a row that is not published yet as
    divergent. Raises StartError, BrokerUnavailable or StoreUnavailable.
    """
    with Ledger() as ledger, progress_bars(shown=progress) as bars:
        await _Audit(settings, ledger, bars).run()
        return ledger.report()


class _Audit:
    def __init__(self, settings: Settings, ledger: Ledger, bars: Progress) -> None:
        self._settings, self._ledger, self._bars = settings, ledger, bars
        self._orders, self._letters, self._statuses = (
            topic_name(settings, name) for name in (ORDERS, ORDERS_DEAD_LETTER, ORDER_STATUS)
        )

    async def run(self) -> None:
        """Rows last: a status record without a row is a fault even under load."""
        topics = await Topics.open(self._settings, [self._orders, self._letters, self._statuses])
        try:
            async for records in self._read(topics, self._orders):
                self._enter_orders(records)
            async for records in self._read(topics, self._letters):
                self._enter_letters(records)
            async for records in self._read(topics, self._statuses):
                for record in records:
                    self._ledger.add_status(record.partition, record.offset, record.key, record.value)
        finally:
            await topics.close()
        await self._enter_rows()

    async def _read(self, topics: Topics, name: str) -> AsyncIterator[Records]:
        bar = self._bars.add_task(name, total=topics.size(name))
        async for records in topics.read(name):
            self._bars.advance(bar, len(records))
            yield records

    async def _enter_rows(self) -> None:
        bar = self._bars.add_task("rows", total=None)
        async for page in read_rows(self._settings):
            for row in page:
                self._ledger.add_row(row)
            self._bars.advance(bar, len(page))
        async for removed in read_removed(self._settings):
            for order in removed:
                self._ledger.add_removed(order.order_id, order.fingerprint)

    def _enter_orders(self, records: Records) -> None:
        """By the product's own rules on purpose: what is an order is not the audit's to judge."""
        skew, limit = timedelta(seconds=self._settings.clock_skew), self._settings.order_max_bytes
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        for record in records:
            latest = moment(believed_ms(record.timestamp, now_ms)) + skew
            try:
                order = decode_order(record.value, latest=latest, max_bytes=limit)
            except InvalidOrder as error:
                self._ledger.add_invalid(record.partition, record.offset, error.reason)
            else:
                self._ledger.add_order(record.partition, record.offset, order.order_id, order.fingerprint())

    def _enter_letters(self, records: Records) -> None:
        for letter in map(read_letter, records):
            topic = None if letter.topic == self._orders else letter.topic
            self._ledger.add_letter(topic, letter.original_partition, letter.original_offset, letter.reason)
