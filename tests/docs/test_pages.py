"""The pages' form: short pages, short lines, no dead link, nothing that the index does not lead to; generated lists."""

import ast
import re
from pathlib import Path

import pytest

from scripts.metrics_list import PAGE as METRICS
from scripts.metrics_list import with_list
from tests.docs.pages import DOCS, ROOT, anchors, files, links, name, pages, without_code

_LINES, _PROSE, _ROW = 200, 120, 200
#: Of a day: what they name was there then.
MEASURED = DOCS / "measurements"
#: Words of our own for which the field has others.
_OWN_WORDS = re.compile(r"\b(anew|mend|mends|mended|the books)\b")
#: Text files that may name a page.
_NAMING = {".py", ".md", ".yml", ".yaml", ".json", ".toml", ".sql", ".tpl", ".sh", ""}


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_page_is_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= _LINES


@pytest.mark.parametrize("page", pages(), ids=name)
def test_lines_are_short(page: Path) -> None:
    for line in without_code(page.read_text()).splitlines():
        assert len(line) <= (_ROW if line.startswith("|") else _PROSE), line


@pytest.mark.parametrize("page", pages(), ids=name)
def test_the_words_are_the_fields(page: Path) -> None:
    assert not _OWN_WORDS.findall(without_code(page.read_text()).lower())


@pytest.mark.parametrize("page", files("*.md"), ids=name)
def test_no_link_is_dead(page: Path) -> None:
    text = page.read_text()
    for link in links(text):
        if not re.match(r"\w+:", link.target):
            path, _, anchor = link.target.partition("#")
            found = (page.parent / path).resolve() if path else page
            assert found.exists(), link
            assert not anchor or anchor in anchors(found.read_text()), link


def dead_names(text: str) -> set[str]:
    """Pages that the text names by their path in the repository, and that are not there."""
    return {path for path in re.findall(r"\bdocs/[\w/-]+\.md", text) if not (ROOT / path).exists()}


def test_no_file_names_a_page_that_is_not_there() -> None:
    texts = {path: path.read_text() for path in files() if path.suffix in _NAMING and path != Path(__file__)}
    assert {name(path): dead for path, text in texts.items() if (dead := dead_names(text))} == {}
    assert dead_names("see docs/none.md and docs/README.md") == {"docs/none.md"}


#: Folders of the repository, and files in them, as a page names them.
_PLACES = re.compile(r"`((?:agents|bench|creditstream|deploy|devtools|schemas|scripts|tables|tests)/[^`\s:*…]*)`")


@pytest.mark.parametrize("page", [page for page in pages() if page.parent not in (DOCS / "adr", MEASURED)], ids=name)
def test_places_that_a_page_names_are_there(page: Path) -> None:
    assert [place for place in _PLACES.findall(page.read_text()) if not (ROOT / place).exists()] == []


def test_the_index_leads_to_every_page() -> None:
    reached, left = {DOCS / "README.md"}, [DOCS / "README.md"]
    while left:
        page = left.pop()
        targets = {(page.parent / link.target.partition("#")[0]).resolve() for link in links(page.read_text())}
        new = {path for path in targets if path.suffix == ".md" and DOCS in path.parents} - reached
        reached |= new
        left += new
    assert set(DOCS.rglob("*.md")) - reached == set()


def defined(file: Path, dotted: str) -> bool:
    """Whether the module defines that name: a function, a class, a class's own part, a constant."""
    body: list[ast.stmt] = ast.parse(file.read_text()).body
    for part in dotted.split("."):
        found = [node for node in body if part in _names(node)]
        if not found:
            return False
        body = found[0].body if isinstance(found[0], ast.ClassDef) else []
    return True


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def code_links(page: Path) -> list[tuple[Path, str]]:
    """Links into the code whose text is a name: the file, and the name."""
    found = [(link.text.strip("`"), page.parent / link.target) for link in links(page.read_text())]
    return [(path, text) for text, path in found if path.suffix == ".py" and "/" not in text]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name)
def test_names_that_link_into_the_code_are_defined_there(page: Path) -> None:
    for path, text in code_links(page):
        assert defined(path, text), f"{text} in {path.resolve().relative_to(ROOT)}"


def test_the_tour_and_the_walk_lead_into_the_code() -> None:
    assert len(code_links(DOCS / "tour.md")) >= 5
    assert len(code_links(DOCS / "explanation" / "walk.md")) >= 15
    assert defined(ROOT / "tests/docs/pages.py", "Link.text") and not defined(ROOT / "tests/docs/pages.py", "Link.none")


def test_the_list_of_metrics_is_the_catalogues() -> None:
    text = METRICS.read_text(encoding="utf-8")
    assert with_list(text) == text, "run: .venv/bin/python scripts/metrics_list.py"
