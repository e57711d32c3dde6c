"""The product as its users see it: the books after a run, and what the commands say."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec

from creditstream.config.load import load_settings
from devtools.forks.client import start
from devtools.programs import RiskApiProcess, clean_environ, faust_command
from devtools.settled import wait_until_settled
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.servers import Servers

#: A loaded machine's time for the longest of them; a quiet one needs a tenth.
_COMMAND_WITHIN = 300.0


def settings_for(servers: Servers, database: Database, topics: Topics, risk_api: RiskApiProcess) -> dict[str, str]:
    """As environment variables: where a worker, or a command, finds what it works on."""
    return {
        "CREDITSTREAM_KAFKA_BROKERS": servers.brokers,
        "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": str(servers.replication_factor),
        "CREDITSTREAM_TOPIC_PREFIX": topics.prefix,
        "CREDITSTREAM_GROUP": f"{topics.prefix}workers",
        "CREDITSTREAM_PARTITIONS": str(topics.partitions),
        "CREDITSTREAM_POSTGRES_DSN": database.dsn,
        "CREDITSTREAM_POSTGRES_REPLICA_DSN": database.replica_dsn,
        "CREDITSTREAM_REDIS_URL": servers.redis_url,
        "CREDITSTREAM_RISK_URL": risk_api.url,
    }


def faust(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A faust command of the product, run to its end."""
    return run_to_end(environ, faust_command(*arguments))


def run_to_end(
    environ: Mapping[str, str], command: Sequence[str], given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`given`: what it has on standard input."""
    with TemporaryFile("w+") as stdin, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        stdin.write(given or "")
        stdin.seek(0)
        process = start(command, clean_environ(environ), Path.cwd(), stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(_COMMAND_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        said = [(stream.seek(0), stream.read())[1] for stream in (stdout, stderr)]
        return subprocess.CompletedProcess(command, code, *said)


def settle(environ: Mapping[str, str], sent: int) -> None:
    """Wait until every record that was sent is done. Raises Stuck."""
    asyncio.run(wait_until_settled(load_settings(environ), sent))


def audited(environ: Mapping[str, str]) -> dict[str, Any]:
    """The books, by the audit command; they must be clean."""
    done = faust(environ, "audit", "--json")
    report: dict[str, Any] = msgspec.json.decode(done.stdout or "{}")
    assert done.returncode == 0, (report, done.stderr)
    return report


def order_line(order_id: object, **changes: object) -> str:
    """An order as a person would type it."""
    order = {
        "order_id": str(order_id),
        "customer_id": "c-102",
        "amount": "1500.00",
        "term_months": 12,
        "product": "personal_loan",
        "created_at": "2026-11-23T12:00:00Z",
    }
    return msgspec.json.encode({**order, **changes}).decode()


def counted(lines: Sequence[Any]) -> dict[str, int]:
    """How many lines of a mix are of each kind."""
    kinds = [line.kind for line in lines]
    return {kind: kinds.count(kind) for kind in ("order", "duplicate", "conflict", "malformed")}
