"""Where a connection string leads: each address of each of its hosts, asked for without holding up the event loop."""

import asyncio
import socket
from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn


async def ways(dsn: str, within: float) -> list[str]:
    """A connection string for each address, in order; `dsn` itself where it names none.

    libpq walks through hosts itself, but waits for names in the middle of an event loop, and for a host that vanished
    for ever. `within`: seconds for the names. Raises psycopg2.OperationalError when no name is known.
    """
    try:
        async with asyncio.timeout(within):
            found = [await _addresses(host) for host in _hosts(dsn)]
    except TimeoutError:
        raise psycopg2.OperationalError("the host's name: no answer in time") from None
    if not any(found):
        raise psycopg2.OperationalError("could not translate host name to address: nobody knows it")
    return [make_dsn(dsn, **way) for host in found for way in host]


def _hosts(dsn: str) -> Iterator[dict[str, str]]:
    """Of each host what differs from one to the next. One entry that changes nothing when the DSN is not ours to read:
    a socket's file, libpq's own variables, numbers that do not fit each other, which libpq refuses in words."""
    parts = parse_dsn(dsn)
    names = parts.get("host", "").split(",")
    addresses = parts.get("hostaddr", ",".join("" for _ in names)).split(",")
    ports = parts.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(names)
    if not len(names) == len(addresses) == len(ports) or not all(map(_is_remote, names)):
        yield {}
        return
    wanted = parts.get("target_session_attrs", "")
    for one in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        for name, address, port in zip(names, addresses, ports, strict=True):
            given = {"host": name, "hostaddr": address, "port": port, "target_session_attrs": one}
            yield {key: value for key, value in given.items() if value}


def _is_remote(name: str) -> bool:
    return bool(name) and name[0] not in "/@"


async def _addresses(host: dict[str, str]) -> list[dict[str, str]]:
    """The same with each address in turn; none: nobody knows the name."""
    if not host or "hostaddr" in host:
        return [host]
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host["host"], None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [{**host, "hostaddr": str(address[0])} for *_, address in infos]
