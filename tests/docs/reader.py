"""A reader of the how-to pages: a worker that has decided orders, and a shell with the settings and programs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from devtools.programs import RiskApiProcess, Worker, clean_environ
from devtools.stack.ports import free_port
from devtools.wait import wait_for
from tests.docs.pages import Block
from tests.support.cloned import Template
from tests.support.kafka import Topics, run
from tests.support.product import order_line, settings_for, settle
from tests.support.servers import Servers

#: For all commands of a page; a quiet machine needs a tenth.
_WITHIN = 300.0
#: DescribeConfigs: set for this topic.
_OF_THE_TOPIC = 1
#: Whom the page about erasure erases.
ERASED = "c-104"


class Reader:
    """`settings` of every program that the reader starts; `order`: the id of one that was decided."""

    def __init__(self, stack: Servers, topics: Topics, settings: Mapping[str, str], folder: Path) -> None:
        self._stack, self._topics, self._folder = stack, topics, folder
        self.settings = {**settings, "CREDITSTREAM_DATA_DIR": str(folder / "data")}
        self.order = uuid4()
        port = str(free_port())
        self._worker = Worker({**self.settings, "CREDITSTREAM_WEB_PORT": port}, folder, "worker")

    def begin(self) -> None:
        """The worker has decided an order; one of a customer to erase; one waits for a person."""
        self._worker.wait_until_ready()
        lines = [order_line(self.order), order_line(uuid4(), customer_id=ERASED)]
        lines.append(order_line(uuid4(), customer_id="refuse-1"))
        self._topics.produce("orders", [(None, line.encode()) for line in lines])
        self.settle()
        wait_for(lambda: self._topics.written("orders-dead-letter") == 1, _WITHIN, "one order waits for a person")

    def settle(self) -> None:
        """Nothing is on its way any more."""
        settle(self.settings, self._topics.written("orders"))

    def stop_worker(self) -> None:
        if self._worker.exit_code is None:
            assert self._worker.stop() == 0

    def type(self, blocks: list[Block], folder: Path, more: Mapping[str, str] | None = None) -> str:
        """What a shell prints that is given the blocks one after the other, in an own folder. Any failure fails."""
        (folder / "customer-id").write_text(f"{ERASED}\n")
        environ = shell_environ(self._stack.tools, {**self.settings, **(more or {})})
        environ |= {"WORKER": self._worker.url, "ORDER": str(self.order)}
        return type_in(blocks, folder, environ)

    def discard(self) -> None:
        self._worker.discard()


def type_in(blocks: list[Block], folder: Path, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["/bin/bash", "-eo", "pipefail", "-c", "\n".join(block.lines for block in blocks)],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shell_environ(tools: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """With `faust`, `python`, Kafka's programs, psql and curl."""
    environ = clean_environ(settings)
    places = [str(Path(sys.executable).parent), str(tools), environ["PATH"]]
    if shutil.which("curl") is None:
        places.append(str(_stand_in_for_curl(tools)))
    return {**environ, "PATH": os.pathsep.join(places)}


def _stand_in_for_curl(tools: Path) -> Path:
    """A folder with it."""
    program = tools.with_name(f"{tools.name}-curl") / "curl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("curl.py")}" "$@"\n')
    program.chmod(0o755)
    return program.parent


@contextmanager
def reading(stack: Servers, template: Template, folder: Path) -> Iterator[Reader]:
    with ExitStack() as started:
        database = started.enter_context(template.cloned())
        topics = Topics(stack)
        topics.create()
        started.callback(topics.delete)
        risk_api = RiskApiProcess(free_port(), folder)
        started.callback(risk_api.discard)
        risk_api.wait_until_ready()
        reader = Reader(stack, topics, settings_for(stack, database, topics, risk_api), folder)
        started.callback(reader.discard)
        reader.begin()
        yield reader


def own_config(brokers: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What is set for each topic itself, not inherited from the broker."""
    return {name: run(_own_config(brokers, name)) for name in names}


async def _own_config(brokers: str, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        [(_code, _text, _kind, _name, entries)] = answer.resources
        return {entry: value for entry, value, _read_only, source, *_ in entries if source == _OF_THE_TOPIC}
    finally:
        await admin.close()
