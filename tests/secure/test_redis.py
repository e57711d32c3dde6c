"""The cache over TLS with a user of its own: a real redis-server, built without TLS, behind a TLS end of the tests."""

import asyncio
import logging
from pathlib import Path

import pytest

from creditstream.errors import StartError
from creditstream.settings import Secret, Settings
from creditstream.web.cache import Cache
from tests.secure.certificates import Certificates
from tests.secure.fixtures import REDIS_PASSWORD, REDIS_USER, SecureRedis
from tests.secure.servers import in_thread, tls_before, write


async def load() -> str:
    return "loaded"


def asked(url: Secret, cafile: Path, caplog: pytest.LogCaptureFixture, until: str) -> str:
    """What is in the log once `until` is, or Redis has answered; a slow machine's time-outs are not the point."""

    async def ask() -> None:
        cache = Cache.open(Settings(redis_url=url, redis_ssl_cafile=str(cafile)))
        try:
            async with asyncio.timeout(60):
                while until not in caplog.text and not (await cache._ask(lambda redis: redis.ping())):
                    cache._asleep_until = float("-inf")
                    await asyncio.sleep(0.05)
                assert await cache.get_or_load("greeting", 60.0, load) == b'"loaded"', "whatever Redis does"
        finally:
            await cache.close()

    asyncio.run(ask())
    return caplog.text


def test_a_users_password_over_tls(
    secure_redis: SecureRedis, redis_tls: int, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    url = Secret(secure_redis.url(redis_tls))
    assert "refuse" not in asked(url, certificates.ca, caplog, until="refuse")


@pytest.mark.parametrize(
    ("shown", "trusted", "said"),
    [
        ("server", "other_ca", "unable to get local issuer certificate"),
        ("expired", "ca", "certificate has expired"),
        ("elsewhere", "ca", "IP address mismatch"),
    ],
)
def test_a_certificate_that_is_wrong_is_one_warning(
    secure_redis: SecureRedis,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    shown: str,
    trusted: str,
    said: str,
) -> None:
    with in_thread(lambda: tls_before(secure_redis.port, getattr(certificates, shown))) as port:
        log = asked(Secret(secure_redis.url(port)), getattr(certificates, trusted), caplog, until=said)
    assert log.count(said) == 1 and REDIS_PASSWORD not in log
    assert "CREDITSTREAM_REDIS_SSL_CAFILE" in log


def test_a_new_password_is_used_by_the_next_connection(
    secure_redis: SecureRedis,
    redis_tls: int,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.INFO)
    file = write(tmp_path / "url", secure_redis.url(redis_tls))

    async def rotate() -> None:
        cache = Cache.open(Settings(redis_url=Secret(file=str(file)), redis_ssl_cafile=str(certificates.ca)))
        try:
            await _until(cache, True)
            secure_redis.allow("long-and-random-7")
            await _until(cache, None, "refuses our user or password")
            write(file, secure_redis.url(redis_tls, "long-and-random-7"))
            await _until(cache, True)
        finally:
            await cache.close()

    async def _until(cache: Cache, wanted: object, said: str = "") -> None:
        async with asyncio.timeout(60):
            while await cache._ask(lambda redis: redis.ping()) is not wanted or said not in caplog.text:
                cache._asleep_until = float("-inf")
                await asyncio.sleep(0.05)

    try:
        asyncio.run(rotate())
        assert REDIS_USER not in caplog.text
    finally:
        secure_redis.allow(REDIS_PASSWORD)


def test_a_cafile_that_is_none_is_named() -> None:
    with pytest.raises(StartError, match="CREDITSTREAM_REDIS_SSL_CAFILE=/nowhere"):
        Cache.open(Settings(redis_url=Secret("rediss://127.0.0.1:1/0"), redis_ssl_cafile="/nowhere.pem"))
