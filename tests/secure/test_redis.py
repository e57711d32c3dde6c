"""The cache over TLS with a user of its own: a real redis-server, built without TLS, behind a TLS end of the tests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.web.answers.cache import Cache
from devtools.wait import wait_for_async
from tests.secure.certificates import Certificates
from tests.secure.fixtures import REDIS_PASSWORD, REDIS_USER, SecureRedis
from tests.secure.servers import in_thread, tls_before, write


async def load() -> str:
    return "loaded"


def settings(url: Secret, cafile: Path) -> Settings:
    return Settings(redis_url=url, redis_ssl_cafile=str(cafile))


async def until(cache: Cache, condition: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again: a slow machine's time-outs are not the point."""

    async def awake() -> bool:
        cache._reads._asleep_until = float("-inf")
        return await condition()

    await wait_for_async(awake, 60)


async def answers(cache: Cache) -> bool:
    return await cache._ask(cache._reads, lambda redis: redis.ping()) is True


def test_a_users_password_over_tls(
    secure_redis: SecureRedis, redis_tls: int, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> None:
        cache = Cache.open(settings(Secret(secure_redis.url(redis_tls)), certificates.ca))
        try:
            await cache.greet()
            await until(cache, lambda: answers(cache))
        finally:
            await cache.close()

    asyncio.run(ask())
    assert "refuse" not in caplog.text


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
    async def greet(url: str) -> None:
        cache = Cache.open(settings(Secret(url), getattr(certificates, trusted)))

        async def refused() -> bool:
            await cache.greet()
            return said in caplog.text

        try:
            await until(cache, refused)
            assert not await answers(cache)
            assert await cache.get_or_load("greeting", 60.0, load) == b'"loaded"', "whatever Redis does"
        finally:
            await cache.close()

    with in_thread(lambda: tls_before(secure_redis.port, getattr(certificates, shown))) as port:
        asyncio.run(greet(secure_redis.url(port)))
    # Of a handshake that fails when the time to connect is over, asyncio has a word of its own, at some later time.
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("creditstream")]
    log = "\n".join(ours)
    assert log.count(said) == 1 and REDIS_PASSWORD not in caplog.text
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
        cache = Cache.open(settings(Secret(file=str(file)), certificates.ca))

        async def refused() -> bool:
            return not await answers(cache) and "refuses our user or password" in caplog.text

        try:
            await until(cache, lambda: answers(cache))
            secure_redis.allow("long-and-random-7")
            await until(cache, refused)
            write(file, secure_redis.url(redis_tls, "long-and-random-7"))
            await until(cache, lambda: answers(cache))
        finally:
            await cache.close()

    try:
        asyncio.run(rotate())
        assert REDIS_USER not in caplog.text
    finally:
        secure_redis.allow(REDIS_PASSWORD)


def test_a_cafile_that_is_none_is_named() -> None:
    with pytest.raises(StartError, match="CREDITSTREAM_REDIS_SSL_CAFILE=/nowhere"):
        Cache.open(Settings(redis_url=Secret("rediss://127.0.0.1:1/0"), redis_ssl_cafile="/nowhere.pem"))
