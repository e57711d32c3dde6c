"""Order ids that are settled, each with its content's fingerprint. Losing it costs time, never correctness."""

from uuid import UUID

from creditstream.kafka.table import TableApp, TableStore, new_table
from creditstream.kafka.topics import SEEN_CHANGELOG


class Seen(TableStore):
    """Keys are the id's 16 bytes, values the fingerprint's 16."""

    def fingerprint(self, partition: int, order_id: UUID) -> bytes | None:
        """What the id was settled with, or None if it is not known here."""
        return self.get(partition, order_id.bytes)


def seen_table(app: TableApp) -> Seen:
    """The app's own table, attached to it. Called once, when the app is made."""
    changelog = app.raw_topic(SEEN_CHANGELOG, source=False)
    ttl = max(1, int(app.settings.seen_retention * 3600))  # 0 would be for ever
    return Seen(new_table(app, "seen", changelog_topic=changelog, rocksdb={"ttl": ttl}))
