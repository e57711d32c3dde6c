"""The last status record of every order, materialised from `order-status`, which is its changelog."""

from creditstream.kafka.table import TableApp, TableStore, new_table
from creditstream.kafka.topics import ORDER_STATUS


def status_table(app: TableApp) -> TableStore:
    """The app's own table, attached to it. Called once, when the app is made.

    Keys are order ids as text, values status records as JSON: the topic's own bytes.
    """
    return TableStore(new_table(app, "statuses", changelog_topic=app.raw_topic(ORDER_STATUS, source=False)))
