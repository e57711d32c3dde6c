"""The risk API over TLS with a secret: at the start, and when its certificate goes wrong later."""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import RiskUnavailable, StartError
from creditstream.risk.attempts import Unguarded
from creditstream.risk.client import RiskClient
from creditstream.worker.preflight import check_risk_certificate
from schemas.order import Order, decode_order
from tests.secure.certificates import Certificates
from tests.secure.servers import LockedRiskApi, in_thread, write
from tests.support.product import order_line

_WRONG = [
    ("server", "other_ca", "unable to get local issuer certificate"),
    ("expired", "ca", "certificate has expired"),
    ("elsewhere", "ca", "IP address mismatch"),
]


def settings(url: str, cafile: Path, key: Secret) -> Settings:
    return Settings(
        risk_url=url, risk_ssl_cafile=str(cafile), risk_api_key=key, risk_deadline=60.0, risk_attempt_timeout=20.0
    )


@pytest.mark.parametrize(("shown", "trusted", "said"), _WRONG)
def test_a_certificate_that_is_wrong_ends_the_start_and_later_makes_orders_wait(
    certificates: Certificates, shown: str, trusted: str, said: str
) -> None:
    with in_thread(LockedRiskApi(getattr(certificates, shown), "k").serve) as url:
        wrong = settings(url, getattr(certificates, trusted), Secret("k"))
        with pytest.raises(StartError) as refused:
            asyncio.run(check_risk_certificate(wrong))
        assert said in str(refused.value) and "CREDITSTREAM_RISK_SSL_CAFILE" in str(refused.value)
        with pytest.raises(RiskUnavailable, match=said):
            asyncio.run(_assess(wrong))


def test_an_api_that_is_away_does_not_stop_the_start(certificates: Certificates) -> None:
    asyncio.run(check_risk_certificate(settings("https://127.0.0.1:1", certificates.ca, Secret())))


def test_the_secret_is_sent_and_a_new_one_is_used_by_the_next_call(certificates: Certificates, tmp_path: Path) -> None:
    file = write(tmp_path / "key", "old-key")
    api = LockedRiskApi(certificates.server, "old-key")
    with in_thread(api.serve) as url:
        current = settings(url, certificates.ca, Secret(file=str(file)))
        asyncio.run(check_risk_certificate(current))

        async def use() -> None:
            client = await RiskClient.open(current)
            try:
                await client.assess(_order())
                api.secret = "new-key"
                write(file, "new-key")
                await client.assess(_order())
            finally:
                await client.close()

        asyncio.run(use())
        assert api.turned_away == 0
        write(file, "wrong-key")
        with pytest.raises(RiskUnavailable, match="401"):
            asyncio.run(_assess(current))


class _Once(Unguarded):
    """No repeats: the first failure is told, however long the deadline is."""

    def may_repeat(self, ticket: int) -> bool:
        return False


def _order() -> Order:
    return decode_order(order_line(uuid.uuid4()).encode(), latest=datetime.max.replace(tzinfo=UTC), max_bytes=10_000)


async def _assess(settings: Settings) -> None:
    client = await RiskClient.open(settings, guard=_Once())
    try:
        await client.assess(_order())
    finally:
        await client.close()
