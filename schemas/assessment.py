"""What the risk API answers about one order."""

from typing import Annotated

import msgspec

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]

Reasons = Annotated[tuple[Reason, ...], msgspec.Meta(max_length=50)]
ModelVersion = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]


class Assessment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A score from 0 (worst) to 1000, the bureau's reasons for it, and which model gave it."""

    score: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    reasons: Reasons = ()
    model_version: ModelVersion
