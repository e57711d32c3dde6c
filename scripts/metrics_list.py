"""`python scripts/metrics_list.py`: the list in docs/reference/metrics.md, made from the catalogue itself."""

import sys
import textwrap
from pathlib import Path

from creditstream.metrics.catalogue import CATALOGUE
from creditstream.metrics.metric import Label, Metric

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "metrics.md"
_BEGIN, _END = "<!-- metrics -->\n", "<!-- /metrics -->\n"
_WIDTH = 116


def metrics_list() -> str:
    """One entry per metric: name, kind, unit, meaning, and each label with its values."""
    return "".join(f"- `{metric.full_name}` ({_kind(metric)})\n{_meaning(metric)}" for metric in CATALOGUE)


def with_list(text: str) -> str:
    """`text` with the current list between its markers."""
    before, _, rest = text.partition(_BEGIN)
    return before + _BEGIN + metrics_list() + _END + rest.partition(_END)[2]


def _kind(metric: Metric) -> str:
    return f"{metric.kind}, {metric.unit}" if metric.unit else metric.kind


def _meaning(metric: Metric) -> str:
    words = "; ".join([metric.meaning, *(_label(label) for label in metric.labels)])
    lines = textwrap.wrap(f"{words}.", _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"  {line}\n" for line in lines)


def _label(label: Label) -> str:
    return f"`{label.name}`: {', '.join(label.values)}" if label.values else f"`{label.name}`"


if __name__ == "__main__":
    PAGE.write_text(with_list(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
