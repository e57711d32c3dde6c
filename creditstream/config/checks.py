"""Which settings would be only half secure: refused before anything starts, in one line that says what to do."""

import os
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qs, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

from creditstream.config.hosts import is_local
from creditstream.config.settings import PREFIX, Settings
from creditstream.errors import StartError

_ESCAPE = f"or {PREFIX}ALLOW_PLAINTEXT=true where the network is private"
#: What people find in documentation and leave as it is. A password that is its own user name is as bad.
_WELL_KNOWN = frozenset(
    {
        *("admin", "admin-secret", "alice-secret", "changeit", "changeme", "change-me", "creditstream", "default"),
        *("example", "guest", "kafka", "letmein", "pass", "password", "postgres", "redis", "root", "secret", "test"),
    }
)


def check(settings: Settings) -> None:
    """Raises StartError: one line that names the variable and says what to do."""
    found = [*_contradictions(settings), *_guessable(settings)]
    if not settings.allow_plaintext:
        found += [f"{line}, {_ESCAPE}" for line in plaintext(settings)]
    if found:
        raise StartError(found[0])


def plaintext(settings: Settings) -> list[str]:
    """The connections that leave this machine without TLS, or without knowing who answers; a line for each."""
    found = []
    if settings.kafka_security_protocol == "PLAINTEXT" and not _kafka_is_local(settings):
        where = settings.kafka_brokers
        found.append(
            f"{PREFIX}KAFKA_SECURITY_PROTOCOL=PLAINTEXT sends orders in the clear to {where}: set SSL or SASL_SSL"
        )
    for name in ("postgres_dsn", "postgres_replica_dsn"):
        dsn = _dsn(settings, name)
        mode = dsn.get("sslmode", "prefer")
        if dsn and not _postgres_is_local(dsn) and mode != "verify-full":
            found.append(
                f"{PREFIX}{name.upper()} has sslmode={mode} and leaves this machine: "
                "set sslmode=verify-full (and sslrootcert)"
            )
    redis = _url(settings.redis_url.reveal())
    if redis.scheme == "redis" and not is_local(redis.hostname or ""):
        found.append(f"{PREFIX}REDIS_URL is redis:// and leaves this machine: set rediss://")
    risk = _url(settings.risk_url)
    if risk.scheme == "http" and not is_local(risk.hostname or ""):
        found.append(f"{PREFIX}RISK_URL is http:// and leaves this machine: set https://")
    return found


def _contradictions(settings: Settings) -> Iterator[str]:
    """Settings that look secure and would not be used."""
    yield from _kafka_contradictions(settings)
    redis = _url(settings.redis_url.reveal())
    for option in ("ssl_cert_reqs", "ssl_check_hostname"):
        if option in parse_qs(redis.query):
            yield f"{PREFIX}REDIS_URL has {option}: certificates are always checked, leave it out"
    if settings.redis_ssl_cafile and redis.scheme != "rediss":
        yield f"{PREFIX}REDIS_SSL_CAFILE is not used by {redis.scheme or 'no'}://: set {PREFIX}REDIS_URL to rediss://"
    risk = _url(settings.risk_url)
    if risk.username or risk.password:
        yield f"{PREFIX}RISK_URL holds a password: put it into {PREFIX}RISK_API_KEY, which is kept secret"
    if settings.risk_ssl_cafile and risk.scheme != "https":
        yield f"{PREFIX}RISK_SSL_CAFILE is not used by http://: set {PREFIX}RISK_URL to https://"
    if not all("!" <= character <= "~" for character in settings.risk_api_key.reveal()):
        yield f"{PREFIX}RISK_API_KEY has characters that an HTTP header cannot carry (a space, a line end?)"


def _kafka_contradictions(settings: Settings) -> Iterator[str]:
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if protocol == "PLAINTEXT":
        for name in ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"):
            if getattr(settings, name):
                yield f"{PREFIX}{name.upper()} is not used by PLAINTEXT: set {PREFIX}KAFKA_SECURITY_PROTOCOL to SSL"
    if settings.kafka_ssl_keyfile and not settings.kafka_ssl_certfile:
        yield f"{PREFIX}KAFKA_SSL_KEYFILE is given without {PREFIX}KAFKA_SSL_CERTFILE: set both"
    named = settings.kafka_sasl_username or settings.kafka_sasl_password
    if protocol != "SASL_SSL":
        if named or mechanism == "AWS_MSK_IAM":
            what = "KAFKA_SASL_USERNAME" if settings.kafka_sasl_username else "KAFKA_SASL_PASSWORD"
            what = what if named else "KAFKA_SASL_MECHANISM"
            yield f"{PREFIX}{what} is not used by {protocol}: set {PREFIX}KAFKA_SECURITY_PROTOCOL to SASL_SSL"
    elif mechanism == "AWS_MSK_IAM":
        if named:
            yield f"{PREFIX}KAFKA_SASL_USERNAME and …_PASSWORD are not used by AWS_MSK_IAM: leave them out"
        if not settings.kafka_aws_region:
            yield f"{PREFIX}KAFKA_AWS_REGION is needed with AWS_MSK_IAM"
    elif not (settings.kafka_sasl_username and settings.kafka_sasl_password):
        yield f"{PREFIX}KAFKA_SASL_USERNAME and {PREFIX}KAFKA_SASL_PASSWORD are needed with SASL_SSL"


def _guessable(settings: Settings) -> Iterator[str]:
    """Passwords that anyone would try first, beyond this machine; no exception for private networks."""
    redis = _url(settings.redis_url.reveal())
    risk_host = _url(settings.risk_url).hostname or ""
    used = [
        ("KAFKA_SASL_PASSWORD", settings.kafka_sasl_password.reveal(), settings.kafka_sasl_username),
        ("REDIS_URL", redis.password or "", redis.username or ""),
        ("RISK_API_KEY", settings.risk_api_key.reveal(), ""),
    ]
    local = [_kafka_is_local(settings), is_local(redis.hostname or ""), is_local(risk_host)]
    for name in ("postgres_dsn", "postgres_replica_dsn"):
        dsn = _dsn(settings, name)
        used.append((name.upper(), dsn.get("password", ""), dsn.get("user", "")))
        local.append(_postgres_is_local(dsn))
    for (name, password, user), is_here in zip(used, local, strict=True):
        if password and not is_here and password.lower() in _WELL_KNOWN | {user.lower()}:
            yield f"{PREFIX}{name} has a password that everyone tries first: choose a long random one"


def _kafka_is_local(settings: Settings) -> bool:
    return all(is_local(broker.strip().rpartition(":")[0]) for broker in settings.kafka_brokers.split(","))


def _dsn(settings: Settings, name: str) -> dict[str, str]:
    """The parts of a connection string. One that does not parse is another check's affair."""
    try:
        return dict(parse_dsn(getattr(settings, name).reveal()))
    except psycopg2.Error:
        return {}


def _postgres_is_local(dsn: dict[str, str]) -> bool:
    """A service file, which this program does not read, may name any host; so may libpq's own variables, which tools
    that do not start as `creditstream.app` does still have."""
    if "service" in dsn or os.environ.get("PGSERVICE"):
        return False
    address = dsn.get("hostaddr") or os.environ.get("PGHOSTADDR")
    hosts: str = address or dsn.get("host") or os.environ.get("PGHOST", "")
    return all(is_local(host) for host in hosts.split(","))


def _url(text: str) -> SplitResult:
    """One that does not parse is another check's affair."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")
