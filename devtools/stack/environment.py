"""`.local/env`: the settings with which any command of the program uses the local stack."""

import shlex
from pathlib import Path

from devtools.stack.ports import HOST, Ports
from devtools.stack.postgres import DATABASE, USER


def environment(ports: Ports, data_dir: Path) -> dict[str, str]:
    return {
        "CREDITSTREAM_KAFKA_BROKERS": f"{HOST}:{ports.kafka}",
        "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": "1",
        "CREDITSTREAM_POSTGRES_DSN": f"postgresql://{USER}@{HOST}:{ports.postgres}/{DATABASE}",
        "CREDITSTREAM_POSTGRES_REPLICA_DSN": f"postgresql://{USER}@{HOST}:{ports.postgres_replica}/{DATABASE}",
        "CREDITSTREAM_REDIS_URL": f"redis://{HOST}:{ports.redis}/0",
        "CREDITSTREAM_RISK_URL": f"http://{HOST}:{ports.risk}",
        "CREDITSTREAM_DATA_DIR": str(data_dir),
    }


def write_environment(file: Path, values: dict[str, str]) -> None:
    """`KEY=VALUE` lines that a shell can source whatever is in them."""
    part = file.with_suffix(".part")
    part.write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items()))
    part.replace(file)
