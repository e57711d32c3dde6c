"""The last status record of every order, materialised from `order-status`, which is its changelog."""

from creditstream.kafka.table import TableStore, new_table
from creditstream.kafka.topics import ORDER_STATUS
from creditstream.main import app

#: Keys are order ids as text, values status records as JSON: the topic's own bytes.
statuses = TableStore(new_table(app, "statuses", changelog_topic=app.raw_topic(ORDER_STATUS, source=False)))
