"""`python scripts/settings_table.py`: the table in docs/reference/settings.md, made from the settings themselves."""

import sys
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from creditstream.config.secret import Secret
from creditstream.config.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"
_BEGIN, _END = "<!-- settings -->\n", "<!-- /settings -->\n"


def settings_table() -> str:
    """One row per setting: variable, type, unit, default, reason."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = ["| variable | type | unit | default | what for |", "| --- | --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(Settings):
        kind, meta = get_args(hints[field.name])
        words = (
            f"`{PREFIX}{field.name.upper()}`",
            _kind(kind),
            (meta.extra or {}).get("unit", ""),
            _default(field.default),
            meta.description or "",
        )
        rows.append("| " + " | ".join(word.replace("|", "\\|") for word in words) + " |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """`text` with the current table between its markers."""
    before, _, rest = text.partition(_BEGIN)
    return before + _BEGIN + settings_table() + _END + rest.partition(_END)[2]


def _kind(kind: object) -> str:
    options = get_args(kind)
    if options:
        return " / ".join(map(str, options))
    words: dict[object, str] = {Secret: "secret text", int: "whole number", float: "number", bool: "true / false"}
    return words.get(kind, "text")


def _default(value: object) -> str:
    text = value.reveal() if isinstance(value, Secret) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return f"`{text}`" if text else "empty"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
