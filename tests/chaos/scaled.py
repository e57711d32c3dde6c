"""PURE: the alert rules on a faster clock: a drill of all of them takes minutes, a healthy hour one minute."""

import re
from typing import Any

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = r"(?:\d+(?:ms|[smhdw]))+"
#: `[5m]`, `[1h:1m]`, `offset 5m`.
_IN_EXPRESSION = re.compile(rf"(?<=\[){_DURATION}(?=[\]:])|(?<=:){_DURATION}(?=\])|(?<=offset ){_DURATION}")
#: A gauge in seconds compared with a number: `creditstream_lag_seconds{topic="orders"}) > 60`.
_AGE = re.compile(r"(?P<gauge>\bcreditstream_\w+_seconds(?:\{[^}]*\})?\)*\s*[<>]=?\s*)(?P<age>\d+(?:\.\d+)?)")


def scaled(rules: Any, factor: float, ages: float | None = None) -> Any:
    """A copy of a rule file's content. `for` and the ranges of expressions are divided by `factor`.

    What gauges in seconds are compared with is divided by `ages` (None: by `factor` too): how often a worker commits,
    looks and asks does not change with the rules' clock, so an age below a few seconds would say nothing.
    """
    groups = [
        {**group, "rules": [_rule(rule, factor, ages or factor) for rule in group["rules"]]}
        for group in rules["groups"]
    ]
    return {**rules, "groups": groups}


def _rule(rule: dict[str, Any], factor: float, ages: float) -> dict[str, Any]:
    expression = _IN_EXPRESSION.sub(lambda found: divided(found[0], factor), rule["expr"])
    expression = _AGE.sub(lambda found: f"{found['gauge']}{float(found['age']) / ages:g}", expression)
    patience = {"for": divided(rule["for"], factor)} if "for" in rule else {}
    return {**rule, "expr": expression, **patience}


def divided(duration: str, factor: float) -> str:
    """In milliseconds, at least one: `5m` by 60 is `5000ms`."""
    return f"{max(1, round(milliseconds(duration) / factor))}ms"


def milliseconds(duration: str) -> int:
    """Of Prometheus's notation: `1h30m`. Raises ValueError for anything else."""
    if not re.fullmatch(_DURATION, duration):
        raise ValueError(f"no duration: {duration}")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", duration))
