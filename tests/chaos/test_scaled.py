"""The rules on a faster clock: every duration and every age is divided, nothing else is touched, promtool agrees."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.scaled import divided, milliseconds, scaled
from tests.support.prometheus import promtool
from tests.support.servers import ROOT

_FILES = ("recording.yml", "alerts.yml")


def rules_of(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text())


def all_rules(content: Any) -> list[dict[str, Any]]:
    return [rule for group in content["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    ("duration", "factor", "faster"),
    [
        ("1m", 60, "1000ms"),
        ("5m", 60, "5000ms"),
        ("3d", 60, "4320000ms"),
        ("1h30m", 60, "90000ms"),
        ("15s", 60, "250ms"),
    ],
)
def test_a_duration_is_divided(duration: str, factor: float, faster: str) -> None:
    assert divided(duration, factor) == faster


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="no duration: 5 m"):
        milliseconds("5 m")


def test_expressions_are_scaled_and_names_numbers_and_ratios_are_not() -> None:
    expression = 'creditstream:late_ratio:rate5m > 14.4 * 0.005 and max by (t) (creditstream_lag_seconds{t!="5m"}) > 60'
    expression += " and sum(increase(creditstream_store_retries_total[15m] offset 5m)) > 5 and max(rate(x[1h:1m])) > 60"
    [rule] = all_rules(scaled({"groups": [{"name": "g", "rules": [{"record": "r", "expr": expression}]}]}, 60, 10))
    assert rule["expr"] == (
        'creditstream:late_ratio:rate5m > 14.4 * 0.005 and max by (t) (creditstream_lag_seconds{t!="5m"}) > 6'
        " and sum(increase(creditstream_store_retries_total[15000ms] offset 5000ms)) > 5"
        " and max(rate(x[60000ms:1000ms])) > 60"
    )


@pytest.mark.parametrize("name", _FILES)
def test_the_projects_own_rules_keep_everything_but_their_times(name: str, tmp_path: Path) -> None:
    before, after = rules_of(name), scaled(rules_of(name), 60, 10)
    for old, new in zip(all_rules(before), all_rules(after), strict=True):
        assert set(old) == set(new)
        assert {key: old[key] for key in old if key not in ("expr", "for")} == {
            key: new[key] for key in new if key not in ("expr", "for")
        }
        assert ("for" not in old) or milliseconds(new["for"]) * 60 == milliseconds(old["for"])
        ranges = [[milliseconds(each) for each in re.findall(r"\[(\w+)\]", rule["expr"])] for rule in (old, new)]
        assert ranges[0] == [each * 60 for each in ranges[1]]
    assert scaled(after, 1, 1) == after, "what is in milliseconds stays"
    file = tmp_path / name
    file.write_text(yaml.safe_dump(after))
    promtool("check", "rules", str(file))


def test_the_ages_of_the_projects_rules_are_those_that_are_known() -> None:
    changed = {
        old["alert"]: re.findall(r"> ([\d.]+)", new["expr"])[:1]
        for old, new in zip(
            all_rules(rules_of("alerts.yml")), all_rules(scaled(rules_of("alerts.yml"), 1, 10)), strict=True
        )
        if re.sub(r"\[\w+\]", "", old["expr"]) != re.sub(r"\[\w+\]", "", new["expr"])
    }
    assert changed == {
        "CreditstreamLag": ["6"],
        "CreditstreamOffsetBlocked": ["12"],
        "CreditstreamCommitAge": ["6"],
        "CreditstreamReplicaLag": ["3"],
    }
