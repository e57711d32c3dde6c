"""What the tour and the how-to pages tell a reader to type is typed, page by page, where orders were decided."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from creditstream.kafka.topics import all_topics
from tests.docs.pages import HOW_TO, TOUR, shell
from tests.docs.reader import Reader, own_config, reading
from tests.support.cloned import Template
from tests.support.kafka import Topics
from tests.support.servers import Servers

#: Pages whose commands no test here can type, and why.
_NOT_RUN = {
    "docker-compose": "there is no container engine; tests/deploy parses the file and checks its rules",
    "kubernetes": "there is no cluster; tests/deploy renders the chart and holds it against the API's schemas",
    "systemd": "it takes a machine of its own with systemd, and root; tests/packaging installs the wheel",
}
#: tests/deploy/test_aws_walk.py types them, up to what would reach AWS.
_TYPED_ELSEWHERE = {"aws"}
_STOPPED = "workers stopped"
#: Blocks for servers of another kind: the test below, and tests/deploy/test_aws_rights.py.
_APART = {"a cluster without topics", "acls"}
#: What stops the worker comes last; what asks whether all is well comes first, while little is under way.
_LAST, _FIRST = "add-partitions", ("audit", "upgrade")


def read() -> list[Path]:
    there = [page for page in HOW_TO.glob("*.md") if page.stem not in _NOT_RUN.keys() | _TYPED_ELSEWHERE]
    return sorted([TOUR, *there], key=lambda page: (page.stem == _LAST, page.stem not in _FIRST, page.stem))


@pytest.fixture(scope="module")
def reader(stack: Servers, template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(stack, template, tmp_path_factory.mktemp("reader")) as reader:
        yield reader


@pytest.mark.parametrize("page", read(), ids=lambda page: page.stem)
def test_what_a_page_says_can_be_typed(page: Path, reader: Reader, tmp_path: Path) -> None:
    blocks = shell(page)
    assert {block.where for block in blocks} <= {"", _STOPPED, *_APART}
    assert blocks, "a page without a command"
    reader.settle()
    if mine := [block for block in blocks if not block.where]:
        reader.type(mine, tmp_path)
    if stopped := [block for block in blocks if block.where == _STOPPED]:
        reader.stop_worker()
        reader.type(stopped, tmp_path)


def test_topics_that_are_made_by_hand_are_what_the_program_would_make(
    reader: Reader, stack: Servers, tmp_path: Path
) -> None:
    blocks = [block for block in shell(HOW_TO / "existing-kafka.md") if block.where == "a cluster without topics"]
    topics = Topics(stack, partitions=3)
    try:
        reader.type(blocks, tmp_path, {"CREDITSTREAM_TOPIC_PREFIX": topics.prefix})
        topics.create()  # refuses unequal numbers of partitions
        wanted = {topics.name(topic.name): topic.config for topic in all_topics(topics.settings)}
        assert own_config(stack.brokers, wanted) == wanted
    finally:
        topics.delete()


def test_at_most_three_pages_are_not_run_and_each_is_there() -> None:
    assert len(_NOT_RUN) <= 3
    assert all((HOW_TO / f"{name}.md").exists() and reason for name, reason in _NOT_RUN.items())
