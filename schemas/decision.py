"""What was decided about one order, and why: score, reasons, model and policy version (LGPD art. 20)."""

from typing import Literal

import msgspec

Status = Literal["under_review", "approved", "rejected"]


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state to commit. `reason` is one word, `reasons` the risk API's own; `score` is None until scored."""

    status: Status
    reason: str
    reasons: tuple[str, ...] = ()
    score: int | None = None
    model_version: str | None = None
    policy_version: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status != "under_review"


#: An order that waits longer than a moment for its score is shown as such.
WAITING = Decision(status="under_review", reason="waiting_for_risk")


def unscored(reason: str) -> Decision:
    """The order could not be scored, for good or for now: it stays under review and says why."""
    return Decision(status="under_review", reason=reason)
