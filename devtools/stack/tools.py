"""Kafka's own console programs as executables in `.local/bin`, relative to where they stand."""

import os
from pathlib import Path

from devtools.stack.jars import java

_TOOLS = {
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}
#: They live for seconds: start fast, take little.
_FLAGS = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_SCRIPT = """\
#!/bin/sh
# Apache Kafka's own {name}; written by `make up`.
here=$(cd "$(dirname "$0")" && pwd -P) || exit 2
exec "$here/{java}" {flags} -Dlog4j2.configurationFile="$here/{jars}/log4j2.properties" -cp "$here/{jars}/*" {main} "$@"
"""


def write_tools(folder: Path, jars: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    relative_jars = os.path.relpath(jars.resolve(), folder.resolve())
    relative_java = os.path.relpath(java(), folder.resolve())
    for name, main in _TOOLS.items():
        part = folder / f"{name}.part"
        part.write_text(_SCRIPT.format(name=name, java=relative_java, flags=_FLAGS, jars=relative_jars, main=main))
        part.chmod(0o755)
        part.replace(folder / name)
