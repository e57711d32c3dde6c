"""Opens and closes a run's rig: servers, topics, database, proxies, workers; nothing of an earlier run is left."""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devtools.stack import Ports, Stack, processes
from devtools.stack.product import prepare_product
from tests.chaos.previous import Version
from tests.chaos.rig import RISK_LATENCY_MS, Rig
from tests.chaos.rolling import Rolling

PARTITIONS = 8
_KILLED_WITHIN = 10.0
_A_LIFETIME_MS = 10 * 365 * 86_400 * 1_000
_NO_SETTINGS: Mapping[str, object] = MappingProxyType({})
Say = Callable[[str], None]


@asynccontextmanager
async def open_rig(
    root: Path,
    cache: Path,
    *,
    workers: int,
    brokers: int,
    say: Say,
    partitions: int = PARTITIONS,
    settings: Mapping[str, object] = _NO_SETTINGS,
    previous: Version | None = None,
    brief: bool = False,
) -> AsyncIterator[Rig]:
    """Everything up and ready, of the `previous` version if there is one.

    At the end all is stopped; the data stay for a look until the next run. `brief`: see Stack.
    """
    _clear(root)
    more = [(ports.kafka, ports.kafka_controller) for ports in (Ports.free() for _ in range(brokers - 1))]
    stack = Stack(root, Ports.free(), cache=cache, more_kafka=more, brief=brief)
    rig = Rig(root, stack, partitions, settings)
    try:
        await asyncio.to_thread(stack.up, lambda name, text, last: say(f"{name:<10} {text}") if last else None)
        await _create_status_topic(rig.environ)
        prepare = previous.prepare if previous else prepare_product
        say(f"product    {await asyncio.to_thread(prepare, rig.environ)}")
        for proxy in rig.proxies:
            await proxy.open()
        await rig.set_risk(latency_ms=RISK_LATENCY_MS, rescore=True)
        if previous:
            rig.previous, rig.rolling = previous, Rolling(range(1, workers + 1))
        await rig.start(*range(1, workers + 1))
        say(f"workers    {len(rig.running())} ready")
        yield rig
    finally:
        for worker in list(rig.workers.values()):
            worker.discard()
        for proxy in rig.proxies:
            await proxy.close()
        for broker in rig.brokers():
            await asyncio.to_thread(broker.stop, signal.SIGKILL)  # the last of a cluster would wait for the others
        await asyncio.to_thread(stack.down)


def _clear(root: Path) -> None:
    """Whatever a killed run has left in `root`: servers, workers (known by the folder they work in), data."""
    nodes = ((1, 2), (3, 4))  # a server is found by its folder; its port does not matter
    left = Stack(root, Ports(), more_kafka=nodes)
    for service in left.services:
        service.stop(signal.SIGKILL)
    processes.end(processes.owned(root, sys.executable), signal.SIGKILL, _KILLED_WITHIN)
    shutil.rmtree(root, ignore_errors=True)


async def _create_status_topic(environ: dict[str, str]) -> None:
    """As the product does, and compaction waits for longer than any run: the verifier reads every record ever."""
    admin = AIOKafkaAdminClient(bootstrap_servers=environ["CREDITSTREAM_KAFKA_BROKERS"])
    await admin.start()
    configs = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_A_LIFETIME_MS)}
    copies, partitions = (int(environ[f"CREDITSTREAM_{name}"]) for name in ("KAFKA_REPLICATION_FACTOR", "PARTITIONS"))
    try:
        answer = await admin.create_topics([NewTopic("order-status", partitions, copies, topic_configs=configs)])
        if any(code for _, code, *_ in answer.topic_errors):
            raise RuntimeError(f"order-status is not created: {answer}")
    finally:
        await admin.close()
