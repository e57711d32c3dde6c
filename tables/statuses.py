"""The last status record of every order, materialised from `order-status`, which is its changelog."""

from creditstream.main import app
from creditstream.tablestore import TableStore, new_table
from creditstream.topics import ORDER_STATUS

#: Keys are order ids as text, values status records as JSON: the topic's own bytes.
statuses = TableStore(new_table(app, "statuses", changelog_topic=app.raw_topic(ORDER_STATUS, source=False)))
