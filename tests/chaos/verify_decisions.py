"""PURE: what was decided, against the journal's scores and the policy's file. The product's own rule is not asked."""

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.evidence import MODEL_VERSION, NO_USABLE_ANSWER, Books, Call, Policies, Rule, Verdict

DECIDED = ("approved", "rejected")
#: Reasons of an order that is under review for a while.
_FOR_NOW = ("waiting_for_risk", "risk_unavailable")
_ROOT = Path(__file__).resolve().parents[2]


class State(NamedTuple):
    """Of an order, in PostgreSQL or as it was published. `product` and `amount` say which rule is its own."""

    order_id: str
    product: str
    amount: Decimal
    status: str
    reason: str
    score: int | None
    model_version: str | None
    policy_version: str | None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "State":
        named: dict[str, Any] = {name: fields.get(name) for name in cls._fields}
        return cls(**{**named, "order_id": str(named["order_id"]), "amount": Decimal(str(named["amount"]))})


def read_policies(*roots: Path) -> Policies:
    """The policy that each version of the program ships, by its version; without `roots` this one's."""
    found: dict[str, Mapping[str, Rule]] = {}
    for root in roots or (_ROOT,):
        [file] = (root / "creditstream").rglob("policy.toml")
        policy = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        products = policy.get("products", {}) | ({"": policy["default"]} if "default" in policy else {})
        found[policy["version"]] = {
            name: Rule(rule["approve_from"], Decimal(rule.get("max_amount", "inf"))) for name, rule in products.items()
        }
    return found


def check_decisions(verdict: Verdict, books: Books, policies: Policies) -> None:
    """Every state that stands or was ever published, each once."""
    states = {State.of(row) for row in books.rows}
    for record in books.statuses:
        try:
            states.add(State.of(json.loads(record.value or b"{}", parse_float=Decimal)))
        except (ValueError, ArithmeticError):
            continue  # no status record: that is a fault of its own, or a tombstone
    for state in sorted(states, key=lambda state: (state.order_id, state.status, state.reason)):
        for wrong in _wrongs(state, books.calls.get(state.order_id, ()), policies):
            verdict.fault("misdecided", f"{state.order_id}: {state.status}, {state.reason}, {wrong}")


def _wrongs(state: State, calls: Collection[Call], policies: Policies) -> Iterator[str]:
    if state.status in DECIDED:
        yield from wrongs_of_decided(state, calls, policies)
    else:
        yield from _wrongs_of_undecided(state, calls)


def wrongs_of_decided(state: State, calls: Collection[Call], policies: Policies) -> Iterator[str]:
    """What is wrong with a decision, in words."""
    if state.score is None:
        yield "without a score"
        return
    if state.score not in {call.score for call in calls}:
        yield f"by a score of {state.score} that the risk API never gave"
    if state.model_version != MODEL_VERSION:
        yield f"by the model {state.model_version}, the risk API says {MODEL_VERSION}"
    products = policies.get(state.policy_version or "")
    if products is None:
        yield f"by the policy {state.policy_version}, which nobody has"
        return
    wanted = decision_of(state.score, state.amount, products.get(state.product, products.get("")))
    if (state.status, state.reason) != wanted:
        yield f"with a score of {state.score} for {state.amount} of {state.product} it is to be {', '.join(wanted)}"


def decision_of(score: int, amount: Decimal, rule: Rule | None) -> tuple[str, str]:
    """Status and reason."""
    if rule is None:
        return "under_review", "unknown_product"
    if amount > rule.max_amount:
        return "rejected", "amount_above_limit"
    return (
        ("approved", "score_above_threshold") if score >= rule.approve_from else ("rejected", "score_below_threshold")
    )


def _wrongs_of_undecided(state: State, calls: Collection[Call]) -> Iterator[str]:
    """A score that is there is decided by: nothing that was scored waits."""
    is_for_now = state.reason in _FOR_NOW
    if not is_for_now and state.reason != NO_USABLE_ANSWER:
        yield "a reason that nothing in this load has"
    if (state.score, state.policy_version) != (None, None):
        yield f"with a score of {state.score} by the policy {state.policy_version}"
    if state.model_version != (None if is_for_now else MODEL_VERSION):
        yield f"by the model {state.model_version}"
    if not is_for_now and not any(call.status == 200 for call in calls):
        yield "and the risk API never answered"
