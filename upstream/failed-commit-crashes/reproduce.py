"""A commit that fails because the group has rebalanced ends the worker instead of being left to the next owner.

The worker's member is taken out of its group by a LeaveGroup request, as the broker does with one that was silent for
too long. Its next commit is refused. Faust means to tolerate that, but looks for a text that aiokafka's message does not
hold (there is a line break in it), and crashes.
Exit 0: the worker goes on and processes the next record. Exit 1: the bug shows.
"""

import argparse
import asyncio
import os
import sys
import uuid

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.group import LeaveGroupRequest

NAME = f"failed-commit-{uuid.uuid4().hex[:8]}"
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--broker", default=os.environ.get("CREDITSTREAM_KAFKA_BROKERS", "127.0.0.1:9092"))
BROKER = parser.parse_args().broker

app = faust.App(
    NAME,
    broker=f"aiokafka://{BROKER}",
    web_enabled=False,
    topic_disable_leader=True,
    broker_session_timeout=60,
    broker_heartbeat_interval=19,  # the commit comes first
    broker_commit_interval=600,  # only the commit below
)
topic = app.topic(NAME, value_type=bytes, value_serializer="raw")
seen: list[bytes] = []


@app.agent(topic)
async def work(stream):
    async for value in stream:
        seen.append(value)


async def until(condition):
    while not (condition() or app._crash_reason):
        await asyncio.sleep(0.05)


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    producer = AIOKafkaProducer(bootstrap_servers=BROKER)
    await admin.start()
    await producer.start()
    await admin.create_topics([NewTopic(NAME, 1, 1)])
    await producer.send_and_wait(NAME, b"before")
    await app.start()
    await until(lambda: seen and not app.monitor.messages_active)
    thread = app.consumer._thread
    coordinator = thread._consumer._coordinator
    leave = LeaveGroupRequest(NAME, coordinator.member_id)
    await thread.call_thread(coordinator._send_req, leave)
    await app.consumer.commit()
    if not crashed():
        await producer.send_and_wait(NAME, b"after")
        await until(lambda: b"after" in seen)
    print(f"processed {sorted(set(seen))}, crashed with {crashed()!r:.60}")
    return int(crashed() is not None)


def crashed():
    return app._crash_reason or app.consumer._crash_reason or app.consumer._thread._crash_reason


async def run():
    code = 2
    try:
        code = await asyncio.wait_for(main(), 100)
    finally:
        sys.stdout.flush()
        os._exit(code)  # no orderly stop: it is not what this is about


asyncio.run(run())
