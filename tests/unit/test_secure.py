"""Half-secure settings: each is refused in one line that names the variable; on this machine nothing is asked for."""

from pathlib import Path

import pytest

from creditstream.config.checks import plaintext
from creditstream.config.hosts import is_local
from creditstream.config.load import load_settings
from creditstream.config.secret import Secret
from creditstream.errors import StartError

_SASL = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "a-long-one"}
_FAR = "postgresql://u:a-long-one@db.example/x"


def environ(**values: str) -> dict[str, str]:
    return {f"CREDITSTREAM_{name}": value for name, value in values.items()}


def why(**values: str) -> str:
    with pytest.raises(StartError) as error:
        load_settings(environ(**values))
    assert "\n" not in str(error.value) and "a-long-one" not in str(error.value)
    return str(error.value)


PLAIN = [
    ("KAFKA_SECURITY_PROTOCOL", {"KAFKA_BROKERS": "127.0.0.1:9092,kafka.example:9092"}),
    ("POSTGRES_DSN", {"POSTGRES_DSN": _FAR}),
    ("POSTGRES_DSN", {"POSTGRES_DSN": f"{_FAR}?sslmode=require"}),
    ("POSTGRES_DSN", {"POSTGRES_DSN": f"{_FAR}?sslmode=verify-ca"}),
    ("POSTGRES_DSN", {"POSTGRES_DSN": "host=localhost,db.example dbname=x"}),
    ("POSTGRES_DSN", {"POSTGRES_DSN": "host=localhost hostaddr=10.0.0.1"}),
    ("POSTGRES_DSN", {"POSTGRES_DSN": "service=production"}),
    ("POSTGRES_REPLICA_DSN", {"POSTGRES_REPLICA_DSN": _FAR}),
    ("REDIS_URL", {"REDIS_URL": "redis://:a-long-one@redis.example:6379/0"}),
    ("REDIS_URL", {"REDIS_URL": "redis://redis.example"}),
    ("RISK_URL", {"RISK_URL": "http://risk.example"}),
]


@pytest.mark.parametrize(("name", "values"), PLAIN)
def test_what_leaves_this_machine_in_the_clear_is_refused_unless_that_is_allowed(
    name: str, values: dict[str, str]
) -> None:
    line = why(**values)
    assert line.startswith(f"CREDITSTREAM_{name}") and "CREDITSTREAM_ALLOW_PLAINTEXT=true" in line
    [warned] = plaintext(load_settings(environ(**values, ALLOW_PLAINTEXT="true")))
    assert line.startswith(warned)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("KAFKA_SASL_USERNAME", {"KAFKA_SASL_USERNAME": "u"}),
        ("KAFKA_SASL_PASSWORD", {"KAFKA_SASL_PASSWORD": "a-long-one"}),
        ("KAFKA_SASL_PASSWORD", {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SASL_PASSWORD": "a-long-one"}),
        ("KAFKA_SASL_USERNAME", {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}),
        ("KAFKA_SASL_MECHANISM", {"KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"}),
        ("KAFKA_AWS_REGION", {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"}),
        ("KAFKA_SASL_USERNAME", {**_SASL, "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_AWS_REGION": "sa-east-1"}),
        ("KAFKA_SSL_CAFILE", {"KAFKA_SSL_CAFILE": "ca.pem"}),
        ("KAFKA_SSL_CERTFILE", {"KAFKA_SSL_CERTFILE": "client.pem"}),
        ("KAFKA_SSL_KEYFILE", {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEYFILE": "client.key"}),
        ("REDIS_SSL_CAFILE", {"REDIS_SSL_CAFILE": "ca.pem"}),
        ("REDIS_URL", {"REDIS_URL": "rediss://redis.example?ssl_cert_reqs=none"}),
        ("REDIS_URL", {"REDIS_URL": "rediss://redis.example?ssl_check_hostname=false"}),
        ("RISK_SSL_CAFILE", {"RISK_SSL_CAFILE": "ca.pem"}),
        ("RISK_URL", {"RISK_URL": "https://user:a-long-one@risk.example"}),
        ("RISK_API_KEY", {"RISK_API_KEY": "two\nlines"}),
    ],
)
def test_what_looks_secure_and_is_not_is_refused_everywhere(name: str, values: dict[str, str]) -> None:
    assert why(**values, ALLOW_PLAINTEXT="true").startswith(f"CREDITSTREAM_{name}")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("KAFKA_SASL_PASSWORD", {**_SASL, "KAFKA_SASL_PASSWORD": "Admin-Secret", "KAFKA_BROKERS": "kafka.example:1"}),
        ("POSTGRES_DSN", {"POSTGRES_DSN": "postgresql://app:app@db.example/x?sslmode=verify-full"}),
        ("POSTGRES_REPLICA_DSN", {"POSTGRES_REPLICA_DSN": "host=db.example password=postgres sslmode=verify-full"}),
        ("REDIS_URL", {"REDIS_URL": "rediss://:changeme@redis.example"}),
        ("RISK_API_KEY", {"RISK_API_KEY": "secret", "RISK_URL": "https://risk.example"}),
    ],
)
def test_a_password_that_everyone_tries_is_refused_beyond_this_machine(name: str, values: dict[str, str]) -> None:
    assert why(**values, ALLOW_PLAINTEXT="true").startswith(f"CREDITSTREAM_{name} has a password that everyone tries")


def test_secure_settings_are_taken() -> None:
    settings = load_settings(
        environ(
            **_SASL,
            KAFKA_BROKERS="b-1.kafka.example:9096,b-2.kafka.example:9096",
            POSTGRES_DSN=f"{_FAR}?sslmode=verify-full&sslrootcert=system",
            REDIS_URL="rediss://u:a-long-one@redis.example:6379/0",
            RISK_URL="https://risk.example",
            RISK_API_KEY="a-long-one",
        )
    )
    assert plaintext(settings) == []


def test_on_this_machine_nothing_is_asked_for() -> None:
    local = {
        "KAFKA_BROKERS": "localhost:1,[::1]:2",
        "REDIS_URL": "redis://:redis@[::1]",
        "RISK_URL": "http://127.9.9.9",
    }
    for dsn in ("postgresql://postgres:postgres@localhost/x", "host=/run/postgresql user=u", "postgresql:///x"):
        assert plaintext(load_settings(environ(**local, POSTGRES_DSN=dsn))) == []


@pytest.mark.parametrize(
    ("variable", "dsn"),
    [
        ("PGHOST", "postgresql:///x"),
        ("PGHOSTADDR", "postgresql:///x"),
        ("PGHOSTADDR", "postgresql://127.0.0.1/x"),
        ("PGSERVICE", "postgresql://127.0.0.1/x"),
    ],
)
def test_libpqs_own_variables_are_seen(variable: str, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "192.0.2.1")
    assert why(POSTGRES_DSN=dsn).startswith("CREDITSTREAM_POSTGRES_DSN")


def test_names_of_this_machine() -> None:
    assert [is_local(host) for host in ("127.0.0.2", "[::1]", "10.0.0.1", "localhost.example", "kafka")] == [
        *(True, True),
        *(False, False, False),
    ]


@pytest.mark.parametrize("name", ["KAFKA_SASL_PASSWORD", "POSTGRES_DSN", "REDIS_URL", "RISK_API_KEY"])
def test_a_secret_from_a_file(tmp_path: Path, name: str) -> None:
    file, good = tmp_path / "secret", "redis://127.0.0.1/7" if name == "REDIS_URL" else "postgresql://127.0.0.1/x"
    variable = f"CREDITSTREAM_{name}_FILE"
    assert f"{variable}={file}: cannot be read: No such file" in why(**{f"{name}_FILE": str(file)})
    file.write_text("\n")
    assert f"{variable}={file}: cannot be read" in why(**{f"{name}_FILE": str(file)})
    file.write_text(good + "\r\n")
    assert "both set" in why(**{f"{name}_FILE": str(file), name: good})
    more = {k: v for k, v in _SASL.items() if k != "KAFKA_SASL_PASSWORD"} if name.startswith("KAFKA") else {}
    secret = getattr(load_settings(environ(**more, **{f"{name}_FILE": str(file)})), name.lower())
    assert secret.reveal() == good and good not in repr(secret)


def test_a_file_that_changes_is_read_again_and_one_that_is_away_is_not_missed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    secret = Secret(file=str(file))
    file.unlink()
    assert secret.reveal() == "one"
    file.touch()
    assert secret.reveal() == "one", "the moment between made and written"
    file.write_text("two")
    assert secret.reveal() == "two"
