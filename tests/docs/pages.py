"""The pages as text: which there are, their prose, tables, links, headings and shell blocks."""

import re
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HOW_TO = DOCS / "how-to"
TOUR = DOCS / "tour.md"
_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_BLOCK = re.compile(r"(?:^ *<!-- runs: ([\w ]+) -->\n)?^( *)```sh\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


class Link(NamedTuple):
    """`text` as it is written, `target` as it is given."""

    text: str
    target: str


class Block(NamedTuple):
    """Shell lines that a reader types; `where`: what stands in the `runs:` comment before them, or nothing."""

    where: str
    lines: str


def files(pattern: str = "*") -> list[Path]:
    """Of the repository, tracked or about to be; `pattern` as git knows it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def pages() -> list[Path]:
    """What people read about the program, and not about its history."""
    return [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_code(text: str) -> str:
    """Fenced blocks are left out, whole."""
    return _FENCE.sub("", text)


def links(text: str) -> list[Link]:
    return [Link(*found) for found in _LINK.findall(re.sub(r"`[^`\n]*`", _keep_no_brackets, without_code(text)))]


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shell(page: Path) -> list[Block]:
    return [Block(where, dedent(lines)) for where, _, lines in _BLOCK.findall(page.read_text())]


def _keep_no_brackets(code: re.Match[str]) -> str:
    """What looks like a link within code is none."""
    return code[0] if "](" not in code[0] else ""
