"""Where a connection string leads: every address of every host, and a DNS that is silent holds up nobody else."""

import asyncio
import socket
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from creditstream.store.addresses import ways

_KNOWN = {"a": ["10.0.0.1", "10.0.0.2"], "b": ["10.0.1.1"], "::1": ["::1"]}


async def _answer(host: str, port: object, **_: object) -> list[Any]:
    if host == "silent":
        await asyncio.Event().wait()
    if host not in _KNOWN:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    return [(None, None, None, "", (address, 0)) for address in _KNOWN[host]]


def found(dsn: str, within: float = 5.0) -> list[dict[str, Any]]:
    async def ask() -> list[str]:
        asyncio.get_running_loop().getaddrinfo = _answer  # type: ignore[assignment,method-assign]
        return await ways(dsn, within)

    return [parse_dsn(each) for each in asyncio.run(ask())]


def test_each_address_of_each_host_in_order_and_nothing_else_changes() -> None:
    got = found("postgresql://u:hush@a:1,b:2/db?sslmode=verify-full&target_session_attrs=read-write")
    assert [(each["host"], each["hostaddr"], each["port"]) for each in got] == [
        ("a", "10.0.0.1", "1"),
        ("a", "10.0.0.2", "1"),
        ("b", "10.0.1.1", "2"),
    ]
    for each in got:
        assert (each["user"], each["password"], each["dbname"]) == ("u", "hush", "db")
        assert (each["sslmode"], each["target_session_attrs"]) == ("verify-full", "read-write")


def test_a_standby_is_preferred_to_any() -> None:
    got = found("host=a,b port=7 target_session_attrs=prefer-standby")
    wanted = [(each["target_session_attrs"], each["hostaddr"]) for each in got]
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.1.1"]
    assert wanted == [*(("standby", each) for each in addresses), *(("any", each) for each in addresses)]


@pytest.mark.parametrize("dsn", ["dbname=x", "host=/run/x", "host=a,b port=1,2,3", "service=x", "hostaddr=10.0.0.1"])
def test_what_is_libpqs_to_read_is_left_to_it(dsn: str) -> None:
    assert found(dsn) == [parse_dsn(dsn)]


def test_a_name_that_nobody_knows_is_left_out() -> None:
    assert [each["host"] for each in found("host=gone,b")] == ["b"]
    assert [each["hostaddr"] for each in found("host=gone,b hostaddr=10.9.9.9,")] == ["10.9.9.9", "10.0.1.1"]
    for dsn, said in (("host=gone", "nobody knows it"), ("host=silent,b", "no answer in time")):
        with pytest.raises(psycopg2.OperationalError, match=said):
            found(dsn, within=0.0)
