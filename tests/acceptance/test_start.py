"""What a person sees when something is missing at the start: one line that names it, and exit code 2."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from devtools.stack.ports import free_port
from tests.conftest import StartWorker
from tests.support.database import Database, ask
from tests.support.kafka import Topics
from tests.support.product import faust, order_line, run_to_end, settle

_NOWHERE = "127.0.0.1:1"
#: Each would open the worker, lead it elsewhere or stop it, if it were heard.
_OF_OTHERS = {
    "WEB_BIND": "0.0.0.0",
    "BROKER_URL": f"kafka://{_NOWHERE}",
    "APP_DATADIR": "elsewhere",
    "APP_STORE": "memory://",
    "APP_WEB_ENABLED": "0",
    "APP_WEB_TABLES_ENABLED": "1",
    "APP_VERSION": "2",
    "PROCESSING_GUARANTEE": "exactly_once",
    "BROKER_CREDENTIALS": "nonsense",
    "FAUST_DEBUG": "1",
    "FAUST_STRICT": "1",
    "FAUST_WEB_TRANSPORT": "unix:elsewhere",
    "F_DATADIR": "elsewhere",
    "F_WORKDIR": "/tmp",
    "DJANGO_SETTINGS_MODULE": "shop.settings",
    "PGHOSTADDR": "127.0.0.9",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGSERVICE": "nowhere",
    "PGSSLMODE": "require",
}


def refused(environ: Mapping[str, str], *arguments: str) -> str:
    """The one line on standard error."""
    return only_line(faust(environ, *arguments))


def only_line(done: subprocess.CompletedProcess[str]) -> str:
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
    topics.send_lines("orders", [order_line("7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11")])
    settle(worker_environ, 1)
    for _ in range(3):
        assert worker.get("/stats")["available"]
    assert worker.log().count("Redis is away") == 1


def test_the_variables_of_others_have_no_effect_and_are_one_warning(
    start_worker: StartWorker,
    worker_environ: dict[str, str],
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        for name, value in {**_OF_OTHERS, "PROMETHEUS_MULTIPROC_DIR": "/nowhere"}.items():
            patch.setenv(name, value)
        worker = start_worker(ready=False)
        migrated = faust(worker_environ, "migrate")
    assert (migrated.returncode, migrated.stderr.count("WARNING")) == (0, 1)
    worker.wait_until_ready()
    topics.send_lines("orders", [order_line("7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11")])
    settle(worker_environ, 1)
    with contextlib.closing(socket.socket()) as other:
        assert other.connect_ex(("127.0.0.2", int(worker.url.rpartition(":")[2]))) != 0
    assert (tmp_path / "worker1" / "v1" / "tables").is_dir()
    assert Path(f"/proc/{worker.pid}/cwd").resolve() == tmp_path
    assert not list(tmp_path.rglob("*elsewhere*"))
    assert "creditstream_" in worker.get("/metrics")
    for log in (worker.log(), migrated.stderr):
        [line] = [line for line in log.splitlines() if "WEB_BIND" in line]
        assert " WARNING " in line
        assert [name for name in _OF_OTHERS if name not in line] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-A", "creditstream", "worker", "-b", "kafka://x"], "CREDITSTREAM_WEB_BIND"),
        (["-A", "creditstream", "--web-bind=0.0.0.0", "worker"], "CREDITSTREAM_WEB_BIND"),
        (["-l", "nonsense", "-A", "creditstream", "worker"], "CREDITSTREAM_LOG_LEVEL"),
        (["--datadir", "elsewhere", "-A", "creditstream", "migrate"], "CREDITSTREAM_DATA_DIR"),
        (["-Acreditstream", "reset"], "two words"),
        (["-A", "creditstream", "reset", "-f"], "`reset`"),
    ],
)
def test_under_faust_too_flags_and_commands_are_refused(words: list[str], said: str, tmp_path: Path) -> None:
    table = tmp_path / "v1" / "tables" / "seen-0.db"
    table.parent.mkdir(parents=True)
    table.touch()
    environ = {"CREDITSTREAM_DATA_DIR": str(tmp_path), "CREDITSTREAM_KAFKA_BROKERS": _NOWHERE}
    done = run_to_end({**environ, "CREDITSTREAM_START_TIMEOUT": "0"}, [sys.executable, "-m", "faust", *words])
    assert said in only_line(done)
    assert done.stderr.count("\n") == 1
    assert table.exists()
