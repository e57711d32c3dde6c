"""What was decided about one order, and why: score, reasons, model and policy version (LGPD art. 20)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

Status = Literal["under_review", "approved", "rejected"]

#: The reasons of `under_review` for which an order waits for a person, and what its dead letter says (ADR 0018). Such
#: an order is settled: nobody is asked about it again until somebody sends its letter again.
FOR_A_PERSON: Mapping[str, str] = MappingProxyType(
    {
        "attempts_exhausted": "no answer after all attempts",
        "no_usable_answer": "the risk API's answer has no usable score for this order",
        "risk_refused": "the risk API refused the order",
        "unknown_product": "the policy has no rule for the order's product",
    }
)
#: Still tried again. Until 0.1 also the reason of orders that were given up: those have a dead letter that says so.
RISK_UNAVAILABLE = "risk_unavailable"


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state to commit. `reason` is one word, `reasons` the risk API's own; `score` is None until scored."""

    status: Status
    reason: str
    reasons: tuple[str, ...] = ()
    score: int | None = None
    model_version: str | None = None
    policy_version: str | None = None

    @property
    def is_settled(self) -> bool:
        """Decided, or for a person to decide."""
        return self.status != "under_review" or waits_for_person(self.status, self.reason)


def waits_for_person(status: str, reason: str) -> bool:
    """Whether a row in that state is under review for good, until somebody does something about it."""
    return status == "under_review" and reason in FOR_A_PERSON


#: An order that waits longer than a moment for its score is shown as such.
WAITING = Decision(status="under_review", reason="waiting_for_risk")


def unscored(
    reason: str,
    *,
    reasons: tuple[str, ...] = (),
    model_version: str | None = None,
    policy_version: str | None = None,
) -> Decision:
    """The order could not be scored, for good or for now: it stays under review and says why."""
    return Decision(
        status="under_review",
        reason=reason,
        reasons=reasons,
        model_version=model_version,
        policy_version=policy_version,
    )
