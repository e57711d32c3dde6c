"""What a person sees when something is missing at the start: one line that names it, and exit code 2."""

from collections.abc import Mapping

import pytest

from creditstream.dev.stack.ports import free_port
from tests.conftest import StartWorker
from tests.support.database import Database, ask
from tests.support.kafka import Topics
from tests.support.product import faust, order_line, settle

_NOWHERE = "127.0.0.1:1"


def refused(environ: Mapping[str, str], *arguments: str) -> str:
    """The one line on standard error."""
    done = faust(environ, *arguments)
    assert done.returncode == 2, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("creditstream: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("CREDITSTREAM_COLOUR", "blue", "unknown setting CREDITSTREAM_COLOUR"),
        ("CREDITSTREAM_RISK_DEADLINE", "soon", "CREDITSTREAM_RISK_DEADLINE"),
        ("CREDITSTREAM_RISK_DEADLINE", "nan", "CREDITSTREAM_RISK_DEADLINE"),
        ("CREDITSTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "CREDITSTREAM_KAFKA_SASL_USERNAME"),
        ("CREDITSTREAM_WEB_BIND", "0.0.0.0", "set CREDITSTREAM_WEB_TOKEN"),
        ("CREDITSTREAM_WEB_TOKEN", "short", "CREDITSTREAM_WEB_TOKEN"),
        ("CREDITSTREAM_POLICY_FILE", "/nowhere/policy.toml", "CREDITSTREAM_POLICY_FILE"),
        ("CREDITSTREAM_KAFKA_SSL_CAFILE", "", None),
    ],
)
def test_a_bad_setting_is_named(setting: str, value: str, said: str | None) -> None:
    environ = {"CREDITSTREAM_KAFKA_BROKERS": _NOWHERE, "CREDITSTREAM_START_TIMEOUT": "0", setting: value}
    line = refused({**environ, "CREDITSTREAM_WEB_PORT": str(free_port())}, "worker")
    assert (said or "CREDITSTREAM_KAFKA_BROKERS") in line


def test_kafka_or_postgresql_that_is_away_is_named(worker_environ: dict[str, str]) -> None:
    away = {**worker_environ, "CREDITSTREAM_START_TIMEOUT": "2", "CREDITSTREAM_WEB_PORT": str(free_port())}
    assert "CREDITSTREAM_KAFKA_BROKERS" in refused({**away, "CREDITSTREAM_KAFKA_BROKERS": _NOWHERE}, "worker")
    secret = f"postgresql://user:hunter2@{_NOWHERE}/x"
    for command in ("worker", "migrate"):
        line = refused({**away, "CREDITSTREAM_POSTGRES_DSN": secret}, command)
        assert "CREDITSTREAM_POSTGRES_DSN" in line
        assert "hunter2" not in line


def test_a_database_without_migrations_is_named_and_migrate_mends_it(
    worker_environ: dict[str, str], database: Database
) -> None:
    ask(database.dsn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    environ = {**worker_environ, "CREDITSTREAM_WEB_PORT": str(free_port())}
    assert "migrate" in refused(environ, "worker")
    assert faust(environ, "migrate").returncode == 0
    assert "up to date" in faust(environ, "migrate").stdout


def test_a_port_or_a_data_directory_in_use_is_named(start_worker: StartWorker, worker_environ: dict[str, str]) -> None:
    worker = start_worker(name="first")
    port = worker.url.rpartition(":")[2]
    assert "CREDITSTREAM_WEB_PORT" in refused({**worker_environ, "CREDITSTREAM_WEB_PORT": port}, "worker")
    second = start_worker(name="first", ready=False)
    assert second.wait() == 2
    assert "CREDITSTREAM_DATA_DIR" in second.log()


def test_without_redis_there_is_one_warning_and_work_goes_on(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics
) -> None:
    worker = start_worker(redis_url=f"redis://{_NOWHERE}/0")
    topics.produce_lines("orders", [order_line("7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11")])
    settle(worker_environ, 1)
    for _ in range(3):
        assert worker.get("/stats")["available"]
    assert worker.log().count("Redis is away") == 1
