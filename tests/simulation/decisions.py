"""Whether what was decided is right: derived from the risk API's journal and the shipped policy, without our code."""

import tomllib
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.status import Row

if TYPE_CHECKING:
    from tests.simulation.world import World


class Decisions:
    """The policy, read on its own."""

    def __init__(self) -> None:
        text = files("creditstream.order").joinpath("policy.toml").read_text(encoding="utf-8")
        self._policy: dict[str, Any] = tomllib.loads(text)

    def wrong(self, world: "World") -> list[str]:
        calls = world.risk.calls()
        found = []
        for fields in world.postgres.rows.values():
            row = msgspec.convert(fields, Row, strict=False)
            scores = [score for _, status, score in calls.get(str(row.order_id), ()) if score is not None]
            problem = self._problem(row, scores)
            if problem:
                found.append(f"order {row.order_id}: {problem}")
        return found

    def _problem(self, row: Row, scores: list[int]) -> str:
        if row.status == "under_review":
            return ""
        rule = self._policy["products"].get(row.product)
        if rule is None:
            return f"{row.status}, and the policy does not name {row.product}"
        if row.score is None or row.score not in scores:
            return f"{row.status} with score {row.score}, which the risk API never gave: {scores}"
        if row.policy_version != self._policy["version"]:
            return f"decided by policy {row.policy_version}"
        fits = row.amount <= Decimal(rule["max_amount"])
        right = "approved" if fits and row.score >= rule["approve_from"] else "rejected"
        return "" if row.status == right else f"{row.status} with score {row.score}, and the policy says {right}"
