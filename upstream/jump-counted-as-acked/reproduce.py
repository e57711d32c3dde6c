"""Records that were fetched but not delivered are stepped over, and committed as if they had been acknowledged.

A partition is paused and resumed while a fetched batch is being delivered, as a rebalance also does. Faust throws the
rest of the batch away, finds the next one to start later than expected, and takes what lies between for acknowledged.
Exit 0: every record was delivered. Exit 1: the bug shows.
"""

import argparse
import asyncio
import os
import sys
import uuid

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

RECORDS = 400
PAUSE_AT = 5
NAME = f"jump-{uuid.uuid4().hex[:8]}"
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--broker", default=os.environ.get("CREDITSTREAM_KAFKA_BROKERS", "127.0.0.1:9092"))
BROKER = parser.parse_args().broker

app = faust.App(
    NAME,
    broker=f"aiokafka://{BROKER}",
    web_enabled=False,
    topic_disable_leader=True,
    broker_max_poll_records=200,  # half of the records are in the batch that is cut
    broker_commit_interval=600,  # only the commit below
)
topic = app.topic(NAME, value_type=bytes, value_serializer="raw")
delivered: set[int] = set()
paused = False


@app.agent(topic)
async def work(stream):
    global paused
    async for event in stream.events():
        delivered.add(event.message.offset)
        if event.message.offset >= PAUSE_AT and not paused:
            paused = True
            app.consumer.pause_partitions({TP(NAME, 0)})


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    producer = AIOKafkaProducer(bootstrap_servers=BROKER)
    await admin.start()
    await producer.start()
    await admin.create_topics([NewTopic(NAME, 1, 1)])
    await asyncio.gather(*[await producer.send(NAME, b"%d" % number) for number in range(RECORDS)])
    await app.start()
    while not paused:
        await asyncio.sleep(0.05)
    for _ in range(1000):  # turns of the event loop, in which the rest of the batch runs out
        await asyncio.sleep(0)
    app.consumer.resume_partitions({TP(NAME, 0)})
    while RECORDS - 1 not in delivered or app.monitor.messages_active:
        await asyncio.sleep(0.05)
    await app.consumer.commit()
    committed = next(iter((await admin.list_consumer_group_offsets(NAME)).values())).offset
    missing = sorted(set(range(RECORDS)) - delivered)
    print(f"committed {committed} of {RECORDS}, never delivered: {len(missing)} {missing[:1]}…{missing[-1:]}")
    return int(bool(missing))


async def run():
    code = 2
    try:
        code = await asyncio.wait_for(main(), 100)
    finally:
        sys.stdout.flush()
        os._exit(code)  # no orderly stop: it is not what this is about


asyncio.run(run())
