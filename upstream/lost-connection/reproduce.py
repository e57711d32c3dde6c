"""aiokafka issue 1038, and what follows from it: on uvloop, a lost connection can stop a client for good.

A connection is lost. Before its reader's task has had its turn, the client's metadata task sends on it: uvloop raises
RuntimeError, the task ends with it, and every later metadata update is waited for without end. Here half an answer is
there and the reader's turn is taken from it, so that this happens each time; in the wild it is a matter of microseconds
while a broker is killed.
Exit 0: right. Exit 1: the bug shows.
"""

import argparse
import asyncio
import os
import sys

import uvloop
from aiokafka.client import AIOKafkaClient

WITHIN = 10.0
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--broker", default=os.environ.get("CREDITSTREAM_KAFKA_BROKERS", "127.0.0.1:9092"))


async def main(broker: str) -> int:
    client = AIOKafkaClient(bootstrap_servers=broker)
    await client.bootstrap()
    try:
        await asyncio.wait_for(client.force_metadata_update(), WITHIN)
        for connection in client._conns.values():
            await lose(connection)
        try:
            await asyncio.wait_for(client.force_metadata_update(), WITHIN)
        except TimeoutError:
            print(f"no answer in {WITHIN:.0f} s, the metadata task: {client._sync_task.exception()!r}")
            return 1
        print(f"answered, and once more: {await asyncio.wait_for(client.force_metadata_update(), WITHIN)}")
        return 0
    finally:
        if not client._sync_task.done():
            await client.close()


async def lose(connection) -> None:
    """The transport is closed in the middle of an answer, and the reader's task does not know."""
    connection._reader.feed_data(b"half")
    connection._read_task.cancel()
    transport = connection._writer.transport
    transport.abort()
    async with asyncio.timeout(WITHIN):
        while "closed=True" not in repr(transport):
            await asyncio.sleep(0)


if __name__ == "__main__":
    uvloop.install()
    sys.exit(asyncio.run(main(parser.parse_args().broker)))
