"""Fixtures for everybody. What they are made of is in tests/support; a missing service fails, nothing is skipped.

A tool that this machine cannot have is left out with one line: tests/support/left_out.py.
"""

import itertools
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import Scheduling

from devtools.forks.client import forking
from devtools.programs import RiskApiProcess, Worker, clean_environ
from devtools.stack.ports import free_port
from tests.support.cloned import Template, migrated_template
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.left_out import NotHere, left_out
from tests.support.order import LongFirst, in_order
from tests.support.product import settings_for
from tests.support.servers import Place, Servers, open_servers, own_place

StartWorker = Callable[..., Worker]
_PLACE = pytest.StashKey[Place]()
#: Under which name xdist's processes are told of it.
_PLACE_OF_RUN = "place"


def pytest_configure(config: pytest.Config) -> None:
    """The run's first process has the place of its servers; xdist's others are told."""
    # jsonschema reads the grammars of IRIs at its import, which takes two seconds in each process; no schema has one.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # how Python spells "cannot be imported"
    told: dict[str, Any] | None = getattr(config, "workerinput", None)
    if told:
        config.stash[_PLACE] = Place.from_text(told[_PLACE_OF_RUN])
    else:
        opened = ExitStack()
        config.stash[_PLACE] = opened.enter_context(own_place())
        config.add_cleanup(opened.close)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_PLACE_OF_RUN] = node.config.stash[_PLACE].as_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """`-n 6` and nothing more: the longest first."""
    return LongFirst(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: in_order(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """What a fixture of the test cannot have."""
    try:
        return (yield)
    except NotHere as why:
        left_out(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """What the test itself cannot have."""
    try:
        return (yield)
    except NotHere as why:
        left_out(why)


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """The product's programs begin as forks, where nothing but settings sets them apart: ADR 0026."""
    with forking(clean_environ()):
        yield


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, worker_id: str) -> Iterator[Servers]:
    """Kafka, PostgreSQL with its replica, and Redis."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    with open_servers(pytestconfig.stash[_PLACE], number) as servers:
        yield servers


@pytest.fixture(scope="session")
def template(stack: Servers) -> Iterator[Template]:
    with migrated_template(stack.postgres_dsn, stack.replica_dsn) as template:
        yield template


@pytest.fixture
def database(stack: Servers, template: Template) -> Iterator[Database]:
    """A migrated, empty database of this test's own."""
    with template.cloned() as database:
        yield database


@pytest.fixture
def topics(stack: Servers) -> Iterator[Topics]:
    """The product's topics under a prefix of this test's own, created."""
    topics = Topics(stack)
    topics.create()
    yield topics
    topics.delete()


@pytest.fixture
def risk_api(tmp_path: Path) -> Iterator[RiskApiProcess]:
    """The simulated risk API: `.url`, `.control(error_rate=0.5)`, `.journal()`."""
    program = RiskApiProcess(free_port(), tmp_path)
    try:
        program.wait_until_ready()
        yield program
    finally:
        program.discard()


@pytest.fixture
def worker_environ(
    stack: Servers, database: Database, topics: Topics, risk_api: RiskApiProcess, tmp_path: Path
) -> dict[str, str]:
    """Settings of a program that works on this test's database, topics and risk API: for any faust command."""
    return {
        **settings_for(stack, database, topics, risk_api),
        "CREDITSTREAM_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def start_worker(worker_environ: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """start_worker(retry_delay="1", ready=True) starts a real worker; keywords are settings in small letters.

    `command`: how it is started, where that is what matters.
    """
    started: list[Worker] = []
    numbers = itertools.count(1)

    def start(
        *, ready: bool = True, name: str | None = None, command: list[str] | None = None, **overrides: object
    ) -> Worker:
        name = name or f"worker{next(numbers)}"
        own = {"CREDITSTREAM_DATA_DIR": str(tmp_path / name), "CREDITSTREAM_WEB_PORT": str(free_port())}
        given = {f"CREDITSTREAM_{key.upper()}": str(value) for key, value in overrides.items()}
        worker = Worker({**worker_environ, **own, **given}, tmp_path, name, command=command)
        started.append(worker)
        if ready:
            worker.wait_until_ready()
        return worker

    yield start
    for worker in started:
        worker.discard()
