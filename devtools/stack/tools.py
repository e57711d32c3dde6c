"""Kafka's own console programs, and psql, as executables in `.local/bin`, relative to where they stand."""

import os
from pathlib import Path

from devtools.stack.archive import BRIEF, QUIET, there
from devtools.stack.jars import java
from devtools.stack.postgres import binary

_TOOLS = {
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}
#: They live for seconds: start fast, take little.
_FLAGS = ("-Xmx256m", *BRIEF)
_SCRIPT = """\
#!/bin/sh
# Apache Kafka's own {name}; written by `make up`.
here=$(cd "$(dirname "$0")" && pwd -P) || exit 2
exec "$here/{java}" {flags} -Dlog4j2.configurationFile="$here/{jars}/log4j2.properties" -cp "$here/{jars}/*" {main} "$@"
"""
_PSQL = """\
#!/bin/sh
# PostgreSQL's own psql, for `SELECT * FROM pedidos`; written by `make up`.
here=$(cd "$(dirname "$0")" && pwd -P) || exit 2
exec "$here/{psql}" "$@"
"""


def write_tools(folder: Path, jars: Path, archive: Path | None = None) -> None:
    """`archive`: of the jars' classes, used if it is there (devtools/stack/archive.py)."""
    folder.mkdir(parents=True, exist_ok=True)
    relative_jars = os.path.relpath(jars.resolve(), folder.resolve())
    relative_java = os.path.relpath(java(), folder.resolve())
    flags = " ".join(_FLAGS)
    if archive and there(archive):
        flags += f' {" ".join(QUIET)} -XX:AOTCache="$here/{os.path.relpath(archive.resolve(), folder.resolve())}"'
    for name, main in _TOOLS.items():
        script = _SCRIPT.format(name=name, java=relative_java, flags=flags, jars=relative_jars, main=main)
        _write(folder, name, script)
    _write(folder, "psql", _PSQL.format(psql=os.path.relpath(binary("psql"), folder.resolve())))


def _write(folder: Path, name: str, script: str) -> None:
    """A program that runs now is not disturbed."""
    part = folder / f"{name}.part"
    part.write_text(script)
    part.chmod(0o755)
    part.replace(folder / name)
