"""The client of Redis for the cache: its login, its TLS, and what is said when one of them is refused."""

from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.config.tls import client_context, refusal
from creditstream.errors import StartError


class _CurrentLogin(CredentialProvider):
    """The URL's user and password as they are when a connection opens: a rotation is seen by the next one."""

    def __init__(self, url: Secret) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        current = parse_url(self._url.reveal())
        user, password = current.get("username"), str(current.get("password", ""))
        return (str(user), password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def refused_for(error: Exception) -> str | None:
    """What to do about a password, a right or a certificate that Redis, or we, refuse; None: it is another error."""
    if isinstance(error, AuthenticationError | NoPermissionError):
        return "it refuses our user or password: look at CREDITSTREAM_REDIS_URL"
    reason = refusal(error)
    return f"{reason}: look at CREDITSTREAM_REDIS_URL and CREDITSTREAM_REDIS_SSL_CAFILE" if reason else None


def open_redis(settings: Settings, timeout: float) -> Redis:
    """A client that connects when it is asked; `timeout` seconds for each step. Raises StartError: the URL is none."""
    try:
        options: dict[str, Any] = {**parse_url(settings.redis_url.reveal())}
    except ValueError:
        raise StartError("bad setting CREDITSTREAM_REDIS_URL: not a Redis address") from None
    if any([options.pop("username", ""), options.pop("password", "")]):
        options["credential_provider"] = _CurrentLogin(settings.redis_url)
    if settings.redis_ssl_cafile:
        client_context("CREDITSTREAM_REDIS_SSL", settings.redis_ssl_cafile)  # now, and in words
        options["ssl_ca_certs"] = settings.redis_ssl_cafile
    options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
    return Redis.from_pool(ConnectionPool(**options))
