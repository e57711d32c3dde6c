"""Before a worker starts: what it needs is there, or one line says what is not and which setting names it."""

import asyncio
import fcntl
import logging
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from yarl import URL

from creditstream.config.checks import plaintext
from creditstream.config.patience import KAFKA, patiently
from creditstream.config.settings import Settings
from creditstream.config.tls import refused
from creditstream.errors import StartError
from creditstream.kafka.client import cluster_id
from creditstream.kafka.topics import create_topics
from creditstream.order.policy import load_policy
from creditstream.risk.client import risk_context
from creditstream.store.migrations import pending

log = logging.getLogger(__name__)


def check_machine(settings: Settings) -> IO[str]:
    """The policy file, the web port and the data directory. Returns the directory's lock, to be kept open."""
    for line in plaintext(settings):
        log.warning("allowed by CREDITSTREAM_ALLOW_PLAINTEXT: %s", line)
    if settings.web_host:
        log.warning("CREDITSTREAM_WEB_HOST is not used any more: leave it out, the next version refuses it")
    load_policy(settings.policy_file or None)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web_bind, settings.web_port))
        except OSError as error:
            where = f"{settings.web_bind}:{settings.web_port} (CREDITSTREAM_WEB_BIND, CREDITSTREAM_WEB_PORT)"
            raise StartError(f"cannot listen on {where}: {error.strerror}") from None
    return _lock(Path(settings.data_dir))


def _lock(directory: Path) -> IO[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise StartError(f"cannot write {directory} (CREDITSTREAM_DATA_DIR): {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(f"another worker uses {directory}: give each its own CREDITSTREAM_DATA_DIR") from None
    return lock


async def check_services(settings: Settings) -> int:
    """Wait for Kafka and PostgreSQL, within `start_timeout`. Returns the partition count. Raises StartError."""
    with _one_line_only():
        partitions, missing = await asyncio.gather(
            patiently(settings, lambda: create_topics(settings), KAFKA),
            patiently(settings, lambda: pending(settings.postgres_dsn.reveal())),
        )
        cluster = await patiently(settings, lambda: cluster_id(settings), KAFKA)
        await check_risk_certificate(settings)
    if missing:
        raise StartError(f"the database lacks {', '.join(missing)}: run `faust -A creditstream migrate` first")
    identity = f"{cluster} {settings.topic_prefix} {settings.group} {partitions}"
    forget_other_cluster(Path(settings.data_dir), identity)
    forget_statuses(Path(settings.data_dir))
    return partitions


async def check_risk_certificate(settings: Settings) -> None:
    """The API may be away, orders wait for it; but a certificate that is refused now will be refused at every call."""
    url = URL(settings.risk_url)
    if url.scheme != "https" or not url.host or not url.port:
        return
    reason = await refused(url.host, url.port, risk_context(settings))
    if reason:
        raise StartError(f"risk API (CREDITSTREAM_RISK_URL, CREDITSTREAM_RISK_SSL_CAFILE) at {url.host}: {reason}")


def forget_other_cluster(directory: Path, identity: str) -> None:
    """Remove tables that were made from other topics, or for another number of partitions: `seen` would take orders for
    settled that it never saw.

    Faust notices only a table that is ahead of its changelog. Tables are rebuilt from Kafka; nothing else is removed.
    """
    stamp = directory / "cluster"
    if not stamp.exists() or stamp.read_text() != identity:
        for tables in directory.glob("v*/tables"):
            log.warning("%s was made from other topics: removed, it is rebuilt from Kafka", tables)
            shutil.rmtree(tables)
        stamp.write_text(identity)


def forget_statuses(directory: Path) -> None:
    """Remove the tables of statuses, which workers kept until 0.2 (docs/adr/0028-no-statuses.md)."""
    for table in directory.glob("v*/tables/statuses-*.db"):
        shutil.rmtree(table, ignore_errors=True)


@contextmanager
def _one_line_only() -> Iterator[None]:
    """The drivers log every failed attempt, some of it with tracebacks; a person gets our one line instead."""
    loggers = [logging.getLogger(name) for name in ("aiokafka", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
