"""PURE: mutants of which somebody has found that they change nothing that counts, each with the reason.

A paragraph each: the file and the function, the line before (`-`) and after (`+`), the reason.
"""

from pathlib import Path

#: By the mutant's name.
Reasons = dict[tuple[str, str, str], str]

LIST = Path(__file__).with_name("equivalent.txt")


def reasons(text: str) -> Reasons:
    """Raises ValueError for a paragraph that is no entry."""
    paragraphs = ("\n".join(_without_comments(part)) for part in text.split("\n\n"))
    return dict(_entry(part) for part in paragraphs if part)


def _without_comments(paragraph: str) -> list[str]:
    return [line.strip() for line in paragraph.splitlines() if line.strip() and not line.startswith("#")]


def _entry(paragraph: str) -> tuple[tuple[str, str, str], str]:
    match paragraph.splitlines():
        case [where, before, after, *reason] if reason and before.startswith("- ") and after.startswith("+ "):
            return (where, before[2:], after[2:]), " ".join(reason)
    raise ValueError(f"no entry: {paragraph}")
