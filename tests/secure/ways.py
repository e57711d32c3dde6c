"""Settings of workers that are let into Kafka in three ways, with everything else behind TLS and passwords too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.secure.certificates import Certificates
from tests.secure.fixtures import SecureRedis
from tests.secure.kafka import PASSWORD, USER, SecureKafka
from tests.secure.postgres import SecurePostgres
from tests.secure.servers import LockedRiskApi, in_thread, write

_RISK_KEY = "long-and-random-6"
#: Stands where AWS's package would: its tokens are those that Kafka's own validator for tests takes.
_SIGNER = """
import sys, time
sys.path.insert(0, {root!r})
from tests.secure.kafka import unsecured_token

def generate_auth_token(region):
    assert region == "sa-east-1"
    now = int(time.time())
    return unsecured_token("worker", now, now + 900), (now + 900) * 1000
"""


@pytest.fixture
def secure_environ(
    certificates: Certificates,
    secure_postgres: SecurePostgres,
    secure_redis: SecureRedis,
    redis_tls: int,
    tmp_path: Path,
) -> Iterator[dict[str, str]]:
    """All but Kafka. Secrets come from files."""
    ca = str(certificates.ca)
    api = LockedRiskApi(certificates.server, _RISK_KEY)
    with in_thread(api.serve) as risk_url:
        yield {
            "CREDITSTREAM_KAFKA_SSL_CAFILE": ca,
            "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": "1",
            "CREDITSTREAM_POSTGRES_DSN_FILE": str(write(tmp_path / "dsn", secure_postgres.dsn(sslrootcert=ca))),
            "CREDITSTREAM_REDIS_URL_FILE": str(write(tmp_path / "redis", secure_redis.url(redis_tls))),
            "CREDITSTREAM_REDIS_SSL_CAFILE": ca,
            "CREDITSTREAM_RISK_URL": risk_url,
            "CREDITSTREAM_RISK_API_KEY_FILE": str(write(tmp_path / "key", _RISK_KEY)),
            "CREDITSTREAM_RISK_SSL_CAFILE": ca,
            "CREDITSTREAM_START_TIMEOUT": "120",
        }
    assert api.turned_away == 0


def ways_in(kafka: SecureKafka, certificates: Certificates, tmp_path: Path) -> dict[str, dict[str, str]]:
    signer = tmp_path / "signer" / "aws_msk_iam_sasl_signer"
    signer.mkdir(parents=True)
    (signer / "__init__.py").touch()
    (signer / "MSKAuthTokenProvider.py").write_text(_SIGNER.format(root=str(Path(__file__).resolve().parents[2])))
    ways = {
        "scram": {
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_USERNAME": USER,
            "SASL_PASSWORD_FILE": str(write(tmp_path / "password", PASSWORD)),
        },
        "mtls": {
            "SECURITY_PROTOCOL": "SSL",
            "SSL_CERTFILE": str(certificates.client.certificate),
            "SSL_KEYFILE": str(certificates.client.key),
        },
        "oauth": {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "AWS_MSK_IAM", "AWS_REGION": "sa-east-1"},
    }
    found = {
        way: {f"CREDITSTREAM_KAFKA_{name}": value for name, value in {**values, "BROKERS": kafka.door(way)}.items()}
        for way, values in ways.items()
    }
    found["oauth"]["PYTHONPATH"] = str(signer.parent)
    return found
