"""faust-streaming issue 606: a commit goes past a record that is still being processed.

Two coroutines of one agent share a partition. One is held in the partition's first record while the other finishes the
rest. Until the first is done, nothing may be committed. Then the same again with something committed before.
Exit 0: right. Exit 1: the bug shows.
"""

import argparse
import asyncio
import os
import sys
import uuid

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

RECORDS = 20
NAME = f"open-record-{uuid.uuid4().hex[:8]}"
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--broker", default=os.environ.get("CREDITSTREAM_KAFKA_BROKERS", "127.0.0.1:9092"))
BROKER = parser.parse_args().broker

app = faust.App(
    NAME,
    broker=f"aiokafka://{BROKER}",
    web_enabled=False,
    topic_disable_leader=True,
    stream_wait_empty=False,
    broker_commit_interval=600,  # only the commits below
)
topic = app.topic(NAME, value_type=bytes, value_serializer="raw")
held_offset = 0
release: asyncio.Event


@app.agent(topic, concurrency=2)
async def work(stream):
    async for event in stream.events():
        if event.message.offset == held_offset:
            await release.wait()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.05)


async def committed_while_held(admin, producer, first):
    """What the group has committed while record `first` is open and the RECORDS - 1 after it are done."""
    global held_offset, release
    held_offset, release = first, asyncio.Event()
    monitor = app.monitor
    before = monitor.messages_active
    for number in range(RECORDS):
        await producer.send_and_wait(NAME, b"%d" % number)
    await until(lambda: monitor.messages_received_total == first + RECORDS and monitor.messages_active == before + 1)
    await app.consumer.commit()
    found = await admin.list_consumer_group_offsets(NAME)
    committed = next((where.offset for where in found.values()), 0)
    release.set()
    # The acknowledgement of a record below what is committed counts for nothing: it stays active for ever.
    await until(lambda: committed > first or monitor.messages_active == before)
    await app.consumer.commit()
    return committed


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    producer = AIOKafkaProducer(bootstrap_servers=BROKER)
    await admin.start()
    await producer.start()
    await admin.create_topics([NewTopic(NAME, 1, 1)])
    await app.start()
    wrong = False
    for first in (0, RECORDS):
        committed = await committed_while_held(admin, producer, first)
        print(f"record {first} is open, committed: {committed}", flush=True)
        wrong = wrong or committed > first
    return int(wrong)


async def run():
    code = 2
    try:
        code = await asyncio.wait_for(main(), 100)
    finally:
        sys.stdout.flush()
        os._exit(code)  # no orderly stop: it is not what this is about


asyncio.run(run())
