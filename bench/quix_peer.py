"""Peer: Quix Streams as its docs show it: a dataframe, dedup in its state store, its own PostgreSQL sink.

Its functions are synchronous, one order at a time for a process. Settings are PEER_… variables.
"""

import os
from contextlib import closing
from typing import Any

import psycopg2
import requests
from psycopg2.extensions import parse_dsn
from quixstreams import Application, State
from quixstreams.sinks.community.postgresql import PostgreSQLSink

RISK_URL = os.environ["PEER_RISK_URL"] + "/v1/assessments"
DSN = os.environ["PEER_POSTGRES_DSN"]
THRESHOLD = 600
CREATE = """
CREATE TABLE IF NOT EXISTS bench_orders (
    order_id text PRIMARY KEY, customer_id text, amount text, term_months bigint, product text, status text,
    score bigint, created_at text, committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

http = requests.Session()


def is_new(_order: dict[str, Any], state: State) -> bool:
    """The key is the order id: its state says whether it was here."""
    if state.get("seen"):
        return False
    state.set("seen", True)
    return True


def decide(order: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(RISK_URL, json=order, headers={"Idempotency-Key": order["order_id"]}, timeout=3)
    answer.raise_for_status()
    points = answer.json()["score"]
    status = "approved" if points >= THRESHOLD else "rejected"
    kept = {name: value for name, value in order.items() if name != "metadata"}
    return {**kept, "status": status, "score": points}


def main() -> None:
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
    app = Application(
        broker_address=os.environ["PEER_BROKERS"],
        consumer_group=os.environ["PEER_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["PEER_DATA_DIR"],
        commit_interval=1.0,
        loglevel="INFO",
    )
    parts = parse_dsn(DSN)
    sink = PostgreSQLSink(
        host=parts["host"],
        port=int(parts["port"]),
        dbname=parts["dbname"],
        user=parts["user"],
        password=parts.get("password", ""),
        table_name="bench_orders",
        primary_key_columns="order_id",
        on_conflict_do_nothing=True,
        include_metadata=False,
    )
    orders = app.topic(os.environ["PEER_ORDERS_TOPIC"], value_deserializer="json")
    statuses = app.topic(os.environ["PEER_STATUS_TOPIC"], value_serializer="json")
    frame = app.dataframe(orders)
    frame = frame.filter(is_new, stateful=True).apply(decide)
    frame = frame.to_topic(statuses)
    frame.sink(sink)
    app.run()


if __name__ == "__main__":
    main()
