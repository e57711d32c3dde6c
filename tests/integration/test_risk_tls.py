"""The risk API over real TLS, and by names: what is not the API that was named gets no order, and the order waits."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from creditstream.config.settings import Settings
from creditstream.errors import RiskUnavailable
from creditstream.risk.attempts import Backoff
from creditstream.risk.client import RiskClient
from devtools.fakes import an_order
from tests.integration.test_hostile_api import GOOD, Hostile, answer, says

_NAME = "risk.example"
_PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An own certificate authority that the client trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`_NAME` is this machine; no other name is known."""

    def look_up(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host != _NAME:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def asked(certificate: trustme.LeafCert | None, name: str = _NAME) -> tuple[str, list[str], int]:
    """The order's score or why there is none, the attempts' outcomes, and how many requests the server read."""
    outcomes: list[str] = []

    async def test() -> str:
        handle = api.handle if certificate else in_the_clear
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=_context(certificate))
        url = f"https://{name}:{server.sockets[0].getsockname()[1]}"
        settings = Settings(risk_url=url, risk_deadline=30, risk_attempt_timeout=10)
        client = await RiskClient.open(
            settings, guard=Once(), backoff=Backoff(0.001, 0.0, 0.001), on_call=lambda each, _: outcomes.append(each)
        )
        try:
            return str((await client.assess(an_order())).score)
        except RiskUnavailable as error:
            return str(error)
        finally:
            await client.close()
            server.close()

    api = Hostile(says(answer(200, GOOD)))
    # asyncio's own loop: uvloop, if another test has chosen it, looks names up past what `here` has put in place.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(test()), outcomes, api.requests


async def in_the_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What an HTTP server says to a TLS handshake."""
    writer.write(answer(400, b""))
    writer.close()


class Once:
    """No repeats: what does not pass now is told at once."""

    async def enter(self, *, again: bool = False) -> int:
        return 0

    def leave(self, ticket: int, outcome: str, seconds: float, retry_after: float = 0.0) -> None: ...

    def may_repeat(self, ticket: int) -> bool:
        return False


def _context(certificate: trustme.LeafCert | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_an_api_with_the_right_certificate_is_asked(authority: trustme.CA) -> None:
    assert asked(authority.issue_cert(_NAME)) == ("712", ["scored"], 1)


WRONG: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "of another name": lambda authority: authority.issue_cert("other.example"),
    "of another authority": lambda _: trustme.CA().issue_cert(_NAME),
    "expired": lambda authority: authority.issue_cert(_NAME, not_before=_PAST, not_after=_PAST),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_certificate_gets_no_order_and_may_pass(wrong: str, authority: trustme.CA) -> None:
    said, outcomes, requests = asked(WRONG[wrong](authority))
    assert (outcomes, requests) == (["broken"], 0)
    assert "certificate" in said


def test_an_api_without_tls_refuses_nothing(authority: trustme.CA) -> None:
    _, outcomes, requests = asked(None)
    assert (outcomes, requests) == (["broken"], 0)


def test_a_name_that_nobody_knows_may_pass(authority: trustme.CA) -> None:
    said, outcomes, requests = asked(authority.issue_cert(_NAME), name="gone.example")
    assert (outcomes, requests) == (["broken"], 0)
    assert "DNS" in said
