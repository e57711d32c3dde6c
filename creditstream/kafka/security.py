"""How Kafka knows us and we know Kafka: TLS, SASL, MSK's tokens; for aiokafka's clients and for Faust's consumer."""

import asyncio
import ssl
import time
from typing import Any

import faust
from aiokafka.abc import AbstractTokenProvider
from aiokafka.client import collect_hosts
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.config.tls import client_context, refusal
from creditstream.errors import StartError

_MSK_IAM = "AWS_MSK_IAM"
#: A token lives 15 minutes; one that is about to end is not handed out any more.
_TOKEN_SPARE = 120.0
_ASK_MS = 5_000


def security_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of every aiokafka client of this program. Raises StartError."""
    options: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_security_protocol != "PLAINTEXT":
        options["ssl_context"] = _ssl_context(settings)
    if settings.kafka_security_protocol == "SASL_SSL":
        options |= _sasl_options(settings)
    return options


def faust_credentials(settings: Settings) -> Any:
    """The same for Faust. Raises StartError."""
    options = security_options(settings)
    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    context = options["ssl_context"]
    if settings.kafka_security_protocol == "SSL":
        return faust.SSLCredentials(context)
    if settings.kafka_sasl_mechanism == _MSK_IAM:
        return faust.OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    return faust.SASLCredentials(
        mechanism=options["sasl_mechanism"],
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=context,
    )


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    files = (settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    return client_context("CREDITSTREAM_KAFKA_SSL", *files)


def _sasl_options(settings: Settings) -> dict[str, Any]:
    if settings.kafka_sasl_mechanism == _MSK_IAM:
        return {
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_provider": MskTokens(settings.kafka_aws_region),
        }
    secret = settings.kafka_sasl_password
    is_scram = settings.kafka_sasl_mechanism.startswith("SCRAM")
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": _CurrentPassword(secret) if is_scram else secret.reveal(),
    }


class _CurrentPassword(str):
    """aiokafka keeps the password and encodes it at each SCRAM log-in: here that gives the secret as it is then."""

    __slots__ = ("_secret",)
    _secret: Secret

    def __new__(cls, secret: Secret) -> "_CurrentPassword":
        self = super().__new__(cls, "")
        self._secret = secret
        return self

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self._secret.reveal().encode(encoding, errors)


class MskTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """AWS's own signer, by the default chain of AWS credentials. Each connection's log-in asks for a token."""

    def __init__(self, region: str) -> None:
        """Raises StartError when the signer is not installed."""
        try:
            from aws_msk_iam_sasl_signer import MSKAuthTokenProvider as signer
        except ImportError:
            raise StartError(
                "CREDITSTREAM_KAFKA_SASL_MECHANISM=AWS_MSK_IAM needs a package: pip install 'creditstream[msk]'"
            ) from None
        self._signer, self._region = signer, region
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """The current one, or a new one. Raises AuthenticationFailedError."""
        if time.time() > self._until:
            # It may ask the machine's metadata service or STS, and blocks meanwhile.
            self._token, self._until = await asyncio.get_running_loop().run_in_executor(None, self._sign)
        return self._token

    def _sign(self) -> tuple[str, float]:
        try:
            token, expires_ms = self._signer.generate_auth_token(self._region)
        except Exception as error:  # botocore raises anything: an AttributeError when it finds no credentials
            raise AuthenticationFailedError(f"AWS gives no credentials: {type(error).__name__}") from error
        return str(token), expires_ms / 1000 - _TOKEN_SPARE


async def why_refused(settings: Settings) -> str | None:
    """Why Kafka and we do not trust each other, if that is it: aiokafka's clients only say that none answered.

    Asks the bootstrap brokers, then those that the first to answer names: clients connect to these.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    asked: set[tuple[str, int]] = set()
    waiting = [(host, port) for host, port, _ in collect_hosts(settings.kafka_brokers)]
    while waiting:
        address = waiting.pop(0)
        if address in asked:
            continue
        asked.add(address)
        try:
            brokers = await _named_by(settings, *address)
        except (KafkaError, OSError, TimeoutError) as error:
            reason = _words(settings, error)
            if reason:
                return f"{address[0]}:{address[1]}: {reason}"
        else:
            waiting = [*brokers, *waiting]
    return None


async def _named_by(settings: Settings, host: str, port: int) -> list[tuple[str, int]]:
    options = security_options(settings)
    connection: AIOKafkaConnection = await create_conn(host, port, request_timeout_ms=_ASK_MS, **options)
    try:
        answer = await connection.send(MetadataRequest([]))
    finally:
        connection.close()
    return [(broker[1], broker[2]) for broker in answer.brokers]


def _words(settings: Settings, error: BaseException) -> str | None:
    if isinstance(error, SaslAuthenticationFailed | UnsupportedSaslMechanismError):
        return (
            "it refuses our name or password: look at CREDITSTREAM_KAFKA_SASL_MECHANISM, …_USERNAME and …_PASSWORD"
            if settings.kafka_sasl_mechanism != _MSK_IAM
            else "it refuses our AWS identity: look at CREDITSTREAM_KAFKA_AWS_REGION and the role's policy"
        )
    if isinstance(error, AuthenticationFailedError):
        return str(error)
    reason = refusal(error)
    if reason and "alert" in reason:  # which the other side sends
        return f"it wants another client certificate, or one at all: {reason} (CREDITSTREAM_KAFKA_SSL_CERTFILE)"
    return f"{reason} (CREDITSTREAM_KAFKA_SSL_CAFILE, CREDITSTREAM_KAFKA_BROKERS)" if reason else None
