"""Every setting, in one frozen object, from `CREDITSTREAM_…` environment variables and nowhere else."""

from collections.abc import Callable
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec

from creditstream.config.hosts import is_loopback
from creditstream.config.secret import Secret

PREFIX = "CREDITSTREAM_"
_TOKEN_LENGTH = 16


#: Its overloads know no keywords that are only passed on.
_meta: Callable[..., msgspec.Meta] = msgspec.Meta


def _about(unit: str, reason: str, **bounds: float | str) -> msgspec.Meta:
    return _meta(description=reason, extra={"unit": unit}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. docs/reference/settings.md is made from this class."""

    kafka_brokers: Annotated[str, _about("host:port,…", "bootstrap brokers", min_length=1)] = "127.0.0.1:9092"
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_SSL"], _about("", "how to talk to Kafka; SASL only inside TLS")
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"],
        _about("", "with SASL_SSL; AWS_MSK_IAM needs creditstream[msk]"),
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[str, _about("", "with SASL_SSL, but for AWS_MSK_IAM")] = ""
    kafka_sasl_password: Annotated[Secret, _about("", "with SASL_SSL, but for AWS_MSK_IAM")] = Secret()
    kafka_aws_region: Annotated[str, _about("", "of the MSK cluster, with AWS_MSK_IAM")] = ""
    kafka_ssl_cafile: Annotated[str, _about("path", "own certificate authority; empty: the system's")] = ""
    kafka_ssl_certfile: Annotated[str, _about("path", "client certificate, PEM, with its chain; empty: none")] = ""
    kafka_ssl_keyfile: Annotated[str, _about("path", "its key, PEM; empty: in the certificate's file")] = ""
    kafka_replication_factor: Annotated[
        int, _about("copies", "of the topics that the program creates; 3 survives a broker", ge=1, le=32767)
    ] = 3
    group: Annotated[str, _about("", "Kafka consumer group and Faust application id", min_length=1)] = "creditstream"
    topic_prefix: Annotated[
        str, _about("", "before every topic's name, to share a cluster", pattern=r"^[A-Za-z0-9._-]*$")
    ] = ""
    partitions: Annotated[
        int, _about("partitions", "of topics that the program creates; Faust's tables need equal counts", ge=1, le=1000)
    ] = 4
    session_timeout: Annotated[
        float, _about("s", "a dead worker's partitions move after this long (ADR 0012)", ge=6, le=60)
    ] = 6.0
    drain_timeout: Annotated[
        float, _about("s", "orders in flight get this long to finish on a rebalance or a stop", ge=0, le=25)
    ] = 5.0
    stuck_after: Annotated[
        float, _about("s", "a partition with work and no progress for this long fails liveness", gt=0)
    ] = 300.0
    postgres_dsn: Annotated[Secret, _about("libpq", "the operational database")] = Secret(
        "postgresql://creditstream@127.0.0.1:5432/creditstream"
    )
    postgres_replica_dsn: Annotated[
        Secret, _about("libpq", "read replica for the dashboard and `audit`; empty: the operational database answers")
    ] = Secret()
    postgres_pool: Annotated[
        int, _about("connections", "to the operational database per worker: the bound on its load", ge=1, le=100)
    ] = 4
    redis_url: Annotated[Secret, _about("url", "cache of the dashboard's queries; empty: no cache")] = Secret(
        "redis://127.0.0.1:6379/0"
    )
    redis_ssl_cafile: Annotated[str, _about("path", "with rediss://, as kafka_ssl_cafile")] = ""
    risk_url: Annotated[str, _about("url", "base address of the risk API", pattern=r"^https?://")] = (
        "http://127.0.0.1:8090"
    )
    risk_api_key: Annotated[Secret, _about("", "sent as Authorization: Bearer; empty: not sent")] = Secret()
    risk_ssl_cafile: Annotated[str, _about("path", "with https://, as kafka_ssl_cafile")] = ""
    risk_deadline: Annotated[
        float, _about("s", "for all attempts of one order; then it waits on orders-retry", gt=0, le=300)
    ] = 10.0
    risk_attempt_timeout: Annotated[float, _about("s", "for one attempt", gt=0, le=300)] = 3.0
    risk_concurrency: Annotated[
        int,
        _about("calls", "in flight per worker at most; fewer when the API shows that it has a queue", ge=1, le=10_000),
    ] = 256
    risk_concurrency_floor: Annotated[
        int, _about("calls", "in flight per worker at least; as risk_concurrency: a fixed limit", ge=1, le=10_000)
    ] = 8
    risk_rate: Annotated[float, _about("calls/s", "per worker, by contract; 0: no limit", ge=0)] = 0.0
    risk_retry_share: Annotated[
        float,
        _about("share", "repeats of calls among the orders of a second; beyond, an order waits on orders-retry", ge=0),
    ] = 0.2
    risk_breaker_share: Annotated[
        float,
        _about(
            "share",
            "of failed calls at which the circuit opens; above it of answers without a usable score, intake stops",
            gt=0,
            le=1,
        ),
    ] = 0.5
    risk_breaker_min_calls: Annotated[int, _about("calls", "in the window, below which it never opens", ge=1)] = 50
    risk_breaker_window: Annotated[float, _about("s", "over which the share is taken", gt=0)] = 10.0
    risk_breaker_pause: Annotated[float, _about("s", "from opening, or a failed probe, to the next probe", gt=0)] = 2.0
    max_in_flight: Annotated[
        int,
        _about("orders", "accepted and not yet done per worker, repeats too: the bound on memory", ge=1, le=100_000),
    ] = 2_000
    under_review_after: Annotated[
        float, _about("s", "an order without a decision for this long is shown as under review", gt=0)
    ] = 1.0
    retry_delay: Annotated[
        float, _about("s", "before an order's first attempt on orders-retry; doubles each time, plus up to half", gt=0)
    ] = 30.0
    retry_max_delay: Annotated[float, _about("s", "between two attempts at most, whatever the API asks for", gt=0)] = (
        3_600.0
    )
    retry_max_attempts: Annotated[int, _about("attempts", "on orders-retry before a dead letter", ge=1)] = 20
    retry_max_age: Annotated[float, _about("s", "since the order arrived, before a dead letter", gt=0)] = 86_400.0
    dead_letter_limit: Annotated[
        int,
        _about(
            "dead letters", "in a row, or the share of so many: intake stops and readiness fails; 0: no limit", ge=0
        ),
    ] = 1_000
    dead_letter_share: Annotated[float, _about("share", "of the window's records", gt=0, le=1)] = 0.5
    dead_letter_window: Annotated[float, _about("s", "for the share; also how long intake is stopped", gt=0)] = 300.0
    seen_retention: Annotated[
        float, _about("h", "how long `seen` remembers; beyond it PostgreSQL alone answers", gt=0)
    ] = 168.0
    retention_months: Annotated[
        int, _about("months", "`retention` drops older ones from PostgreSQL; 0: it drops nothing", ge=0, le=1_200)
    ] = 0
    retention_keys_months: Annotated[
        int, _about("months", "ids outlast their dropped orders by so long; 0: for ever", ge=0, le=1_200)
    ] = 0
    order_max_bytes: Annotated[int, _about("bytes", "a larger record is a dead letter", ge=1_024, le=4_194_304)] = (
        262_144
    )
    clock_skew: Annotated[float, _about("s", "an order may be created this long after its record's own time", ge=0)] = (
        86_400.0
    )
    policy_file: Annotated[str, _about("path", "thresholds; empty: the one that is shipped")] = ""
    data_dir: Annotated[
        str, _about("path", "RocksDB, and an audit's temporary files; one directory per worker", min_length=1)
    ] = ".local/worker"
    web_port: Annotated[int, _about("port", "live status", ge=1, le=65_535)] = 6066
    web_bind: Annotated[str, _about("address", "to listen on; anything but this machine needs `web_token`")] = (
        "127.0.0.1"
    )
    web_host: Annotated[
        str, _about("host", "not used any more: workers do not ask each other. The next version refuses it")
    ] = ""
    web_token: Annotated[
        Secret, _about("", "login of the page and bearer token of the JSON API, 16 characters or more; empty: no login")
    ] = Secret()
    web_rate: Annotated[
        float, _about("requests/s", "of one client in the long run, 10 s' worth at once; 0: no limit", ge=0)
    ] = 200.0
    dogstatsd_address: Annotated[
        str, _about("host:port", "of a Datadog agent, for metrics; empty: none are sent", pattern=r"^$|^.+:\d{1,5}$")
    ] = ""
    start_timeout: Annotated[float, _about("s", "how long a start waits for Kafka and PostgreSQL", ge=0)] = 30.0
    allow_plaintext: Annotated[
        bool, _about("", "what leaves this machine may be without TLS: only in a private network; it is warned about")
    ] = False
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _about("", "of this program's log")] = "INFO"
    log_format: Annotated[Literal["text", "json"], _about("", "json: one object a line, with fields")] = "text"

    def __post_init__(self) -> None:
        if self.risk_attempt_timeout > self.risk_deadline:
            raise ValueError("risk_attempt_timeout is longer than risk_deadline")
        if not self.web_token and not is_loopback(self.web_bind):
            raise ValueError(f"web_bind is not this machine alone, so a login is needed: set {PREFIX}WEB_TOKEN too")
        if self.web_token and len(self.web_token.reveal()) < _TOKEN_LENGTH:
            raise ValueError(f"web_token is too easy to guess: at least {_TOKEN_LENGTH} characters")


def secret_names() -> list[str]:
    """The settings that may also come from a file, which CREDITSTREAM_…_FILE names."""
    hints = get_type_hints(Settings, include_extras=True)
    return [name for name in Settings.__struct_fields__ if get_args(hints[name])[0] is Secret]
