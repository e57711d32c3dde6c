"""The local stack's Kafka with doors that are locked in different ways, and its own tools."""

import json
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

from devtools.stack import Ports
from devtools.stack.archive import brief_flags
from devtools.stack.jars import jars_folder, java
from devtools.stack.kafka import Kafka
from devtools.stack.ports import HOST
from tests.secure.certificates import Certificates

USER, PASSWORD = "worker", "long-and-random-1"
#: The one whose password a test may change.
ROTATING = "rotating"
_TOOL_WITHIN = 300.0
_OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


class KafkaWithDoors(Kafka):
    """Beside the open door for its own use others, each over TLS; users come by SCRAM, through the door `scram`."""

    ready_within = 120.0

    def __init__(
        self, home: Path, cache: Path, certificates: Certificates, *, doors: Sequence[str], users: Iterable[str]
    ) -> None:
        ports, more = Ports.free(), Ports.free()
        super().__init__(home, ports.kafka, ports.kafka_controller, cache, brief=True)
        self._certificates, self._users = certificates, tuple(users)
        numbers = {ports.postgres, ports.postgres_replica, ports.redis, ports.risk, more.kafka, more.risk}
        used = {ports.kafka, ports.kafka_controller}
        self._doors = dict(zip(doors, numbers - used, strict=False))

    def door(self, name: str) -> str:
        """Bootstrap brokers."""
        return f"{HOST}:{self._doors[name]}"

    @property
    def plain(self) -> str:
        return f"{HOST}:{self.port}"

    def format_options(self) -> list[str]:
        users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in self._users]
        return [*super().format_options(), *(part for user in users for part in ("--add-scram", user))]

    def _properties(self) -> dict[str, object]:
        usual = super()._properties()
        doors = {name.upper(): port for name, port in self._doors.items()}
        more = ",".join(f"{name}://{HOST}:{port}" for name, port in doors.items())
        protocols = ",".join(f"{name}:{'SASL_SSL' if name in ('SCRAM', 'OAUTH') else 'SSL'}" for name in doors)
        return {
            **usual,
            "listeners": f"{usual['listeners']},{more}",
            "advertised.listeners": f"{usual['advertised.listeners']},{more}",
            "listener.security.protocol.map": f"{usual['listener.security.protocol.map']},{protocols}",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificates.server.both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._certificates.ca,
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
        }


class SecureKafka(KafkaWithDoors):
    """`scram`, `mtls`, `oauth`, and two whose certificates are wrong."""

    def __init__(self, home: Path, cache: Path, certificates: Certificates) -> None:
        doors = ("scram", "mtls", "oauth", "expired", "elsewhere")
        super().__init__(home, cache, certificates, doors=doors, users=(USER, ROTATING))

    def change_password(self, password: str) -> None:
        """Of `ROTATING`, by Kafka's own kafka-configs."""
        jars = jars_folder(self.cache)
        flags = ["-Xmx256m", *brief_flags(self.cache), f"-Dlog4j2.configurationFile={jars / 'log4j2.properties'}"]
        change = ["--alter", "--add-config", f"SCRAM-SHA-512=[password={password}]"]
        who = ["--bootstrap-server", self.plain, "--entity-type", "users", "--entity-name", ROTATING]
        command = [java(), *flags, "-cp", f"{jars}/*", "kafka.admin.ConfigCommand", *who, *change]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_WITHIN, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _properties(self) -> dict[str, object]:
        return {
            **super()._properties(),
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{_OAUTH} required;",
            **self._other_certificate("expired", self._certificates.expired.both),
            **self._other_certificate("elsewhere", self._certificates.elsewhere.both),
        }

    def _other_certificate(self, door: str, file: Path) -> dict[str, object]:
        prefix = f"listener.name.{door}.ssl.keystore"
        return {f"{prefix}.type": "PEM", f"{prefix}.location": file}


def unsecured_token(subject: str, issued: int, expires: int) -> str:
    """What Kafka's own validator for tests takes: a JWS without a signature."""
    parts = ({"alg": "none"}, {"sub": subject, "iat": issued, "exp": expires})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
