"""The local stack: idempotent, particular about ports, and nothing of it is left behind."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from devtools.stack import Ports, Stack, StackError
from devtools.stack.environment import write_environment
from devtools.stack.jars import ensure_jars, jars_folder
from devtools.stack.ports import HOST
from devtools.stack.postgres import Postgres, Replica, as_other_user
from devtools.stack.redis import redis_server
from devtools.stack.service import Service
from devtools.wait import wait_for
from tests.support.kafka import Topics
from tests.support.servers import ROOT

QUICK = {"postgres", "replica", "redis", "risk"}
#: How libpq asks for TLS and for GSS before it says anything else.
REFUSED = {(80877103).to_bytes(4, "big"), (80877104).to_bytes(4, "big")}


def a_stack(folder: Path, only: set[str] = QUICK) -> Stack:
    return Stack(folder, Ports.free(), only=only)


def says(server: Replica, query: str) -> list[tuple[Any, ...]]:
    try:
        return server.ask(query)
    except psycopg2.Error:
        return []


def pids(stack: Stack) -> dict[str, int]:
    return {service.name: json.loads(service.files.pid_file.read_text())["pid"] for service in stack.services}


def named(stack: Stack, name: str) -> Service:
    return next(service for service in stack.services if service.name == name)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = a_stack(tmp_path_factory.mktemp("running"))
    try:
        stack.up()
        yield stack
    finally:
        stack.clean()


@pytest.fixture
def redis_only(tmp_path: Path) -> Iterator[Stack]:
    stack = a_stack(tmp_path, only={"redis"})
    yield stack
    stack.clean()


def test_what_is_written_on_the_primary_is_read_on_the_replica(running: Stack) -> None:
    primary, replica = named(running, "postgres"), named(running, "replica")
    assert isinstance(primary, Postgres)
    assert isinstance(replica, Replica)
    primary.ask("CREATE TABLE IF NOT EXISTS streamed (n int)")
    primary.ask("INSERT INTO streamed VALUES (42)")
    there = "SELECT count(*) > 0 FROM pg_class WHERE relname = 'streamed'"
    wait_for(
        lambda: replica.ask(there) == [(True,)] and replica.ask("SELECT n FROM streamed") == [(42,)], 10, "the row"
    )
    assert replica.ask("SELECT pg_is_in_recovery()") == [(True,)]
    assert primary.ask("SHOW fsync") == [("on",)]


def test_a_second_up_leaves_what_is_healthy_alone(running: Stack) -> None:
    before = pids(running)
    shown: list[str] = []
    running.up(lambda name, text, last: shown.append(f"{name} {text}"))
    assert pids(running) == before
    assert len(shown) == len(before)
    assert all(line.endswith("is up") for line in shown)


def test_what_was_killed_is_started_again_and_has_its_data(running: Stack) -> None:
    before = pids(running)
    primary = named(running, "postgres")
    assert isinstance(primary, Postgres)
    primary.ask("CREATE TABLE kept (n int)")
    for name in ("postgres", "redis"):
        psutil.Process(before[name]).kill()
    wait_for(lambda: not named(running, "postgres").running(), 10, "PostgreSQL is gone")
    # As after a power cut: its number belongs to another process of PostgreSQL's user by now.
    with subprocess.Popen([*as_other_user(), "cat"], stdin=subprocess.PIPE) as stranger:
        (primary.data / "postmaster.pid").write_text(f"{stranger.pid}\n{primary.data}\n")
        running.up()
    after = pids(running)
    assert after["postgres"] != before["postgres"]
    assert after["redis"] != before["redis"]
    assert after["risk"] == before["risk"]
    assert primary.ask("SELECT count(*) FROM kept") == [(0,)]


def test_a_replica_that_lost_its_primary_is_cloned_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = a_stack(tmp_path, only={"postgres", "replica"})
    try:
        stack.up()
        stack.down()
        named(stack, "postgres").wipe()
        replica = named(stack, "replica")
        replica.ready_within = 3.0
        rebuild = replica.rebuild

        def patiently_rebuilt() -> bool:
            replica.ready_within = 60.0
            return rebuild()

        monkeypatch.setattr(replica, "rebuild", patiently_rebuilt)
        stack.up()
        assert replica.ready()
    finally:
        stack.clean()


def greet(listening: socket.socket) -> None:
    """Take connections as PostgreSQL does, and never answer what is asked."""
    kept = []
    while True:
        try:
            taken = listening.accept()[0]
        except OSError:
            return
        while taken.recv(4096)[4:8] in REFUSED:
            taken.sendall(b"N")
        taken.sendall(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
        kept.append(taken)


def test_a_primary_that_has_not_said_who_it_is_makes_no_replica_ready(tmp_path: Path) -> None:
    stack = a_stack(tmp_path, only={"postgres", "replica"})
    primary, replica = named(stack, "postgres"), named(stack, "replica")
    assert isinstance(replica, Replica)
    try:
        stack.up()
        primary.stop()
        primary.wipe()
        primary.begin(lambda _text: None)
        wait_for(primary.ready, 30, "another primary")
        with socket.create_server((HOST, 0)) as silent:
            threading.Thread(target=greet, args=(silent,), daemon=True).start()
            replica.primary_port = silent.getsockname()[1]
            replica.begin(lambda _text: None)
            wait_for(lambda: says(replica, "SELECT status FROM pg_stat_wal_receiver") == [("streaming",)], 30, "it")
            replica.primary_port = primary.port
            assert not replica.ready()
            silent.shutdown(socket.SHUT_RDWR)
    finally:
        stack.clean()


def test_down_leaves_no_process_and_up_finds_the_data(tmp_path: Path) -> None:
    stack = a_stack(tmp_path, only={"postgres", "redis"})
    try:
        stack.up()
        before = [psutil.Process(pid) for pid in pids(stack).values()]
        before += [child for process in before for child in process.children(recursive=True)]
        assert len(before) > len(stack.services)
        stack.down()
        assert [process for process in before if process.is_running() and process.status() != "zombie"] == []
        stack.down()  # fine when nothing runs
        assert (tmp_path / "stack" / "postgres" / "data" / "PG_VERSION").exists()
        stack.clean()
        assert not (tmp_path / "stack" / "postgres").exists()
    finally:
        stack.clean()


def test_a_lost_pid_file_does_not_hide_a_process(redis_only: Stack) -> None:
    redis_only.up()
    [first] = pids(redis_only).values()
    named(redis_only, "redis").files.pid_file.unlink()
    redis_only.down()
    assert not psutil.pid_exists(first) or psutil.Process(first).status() == "zombie"


@pytest.mark.parametrize("same_start", [True, False])
def test_a_recycled_pid_is_not_killed(redis_only: Stack, same_start: bool) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = psutil.Process(stranger.pid).create_time() - (0 if same_start else 1_000)
        service = named(redis_only, "redis")
        service.home.mkdir(parents=True)
        service.files.pid_file.write_text(
            json.dumps({"pid": stranger.pid, "started": started, "port": redis_only.ports.redis})
        )
        assert not service.running()
        redis_only.up()
        redis_only.down()
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n", timeout=10)


def test_a_taken_port_is_named_with_the_way_out_and_nothing_is_started(redis_only: Stack) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", redis_only.ports.redis))
        other.listen()
        with pytest.raises(StackError) as raised:
            redis_only.up()
    message = str(raised.value)
    assert "\n" not in message
    assert f"port {redis_only.ports.redis} for Redis is taken" in message
    assert "make up REDIS_PORT=" in message
    assert named(redis_only, "redis").processes() == []


def test_without_any_server_for_redis_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtools.stack.redis.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: f"/machine/{name}" if name == "redis-server" else None)
    assert redis_server() == "/machine/redis-server"
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(StackError, match=r"^Redis: .*: install valkey or redis-server$"):
        redis_server()


def test_the_command_says_it_in_one_line_and_exits_2(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_PORT": "no"}
    command = [sys.executable, "-m", "devtools", "up"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "creditstream: REDIS_PORT=no is not a port: give a number from 1 to 65535\n"


def test_chosen_ports_are_remembered_and_must_differ(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    Ports.chosen(file, {"KAFKA_PORT": "19092"}).save(file)
    assert Ports.chosen(file, {}) == Ports(kafka=19092)
    assert Ports.chosen(file, {"REDIS_PORT": "16379"}) == Ports(kafka=19092, redis=16379)
    with pytest.raises(StackError, match="POSTGRES_PORT and REDIS_PORT are both 5432"):
        Ports.chosen(file, {"REDIS_PORT": "5432"})


def test_the_environment_file_survives_a_shell(tmp_path: Path) -> None:
    values = {"CREDITSTREAM_DATA_DIR": "/a folder/with $HOME & 'quotes'", "CREDITSTREAM_GROUP": "plain"}
    write_environment(tmp_path / "env", values)
    script = 'set -a; . ./env; set +a; printf "%s|%s" "$CREDITSTREAM_DATA_DIR" "$CREDITSTREAM_GROUP"'
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "|".join(values.values())


def test_a_killed_download_is_not_taken_for_the_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "kafka" / "part-killed"
    (half / "jars").mkdir(parents=True)
    (half / "jars" / "kafka-tools-4.1.1.jar").write_bytes(b"PK half")

    def no_network(part: Path, _report: object) -> None:
        assert not half.exists()
        raise StackError("no network")

    monkeypatch.setattr("devtools.stack.jars._download", no_network)
    for _ in range(2):
        with pytest.raises(StackError, match="no network"):
            ensure_jars(tmp_path, lambda text: None)
    assert not jars_folder(tmp_path).exists()


def test_the_real_console_producer_and_back(topics: Topics) -> None:
    topics.produce_lines("orders", ["first", "zweite Zeile", "terceira: é"])
    produced = topics.produce("orders", [(b"k", b"fourth")], partition=3)
    records = topics.consume_all("orders")
    assert sorted(record.value or b"" for record in records) == sorted(
        line.encode() for line in ("first", "zweite Zeile", "terceira: é", "fourth")
    )
    assert [record.key for record in records if record.value != b"fourth"] == [None] * 3
    assert produced == [(record.partition, record.offset) for record in records if record.key == b"k"]
    assert topics.consume_all("orders-retry") == []
