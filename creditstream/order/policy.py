"""PURE: order + assessment + policy -> decision. The policy is a versioned file of thresholds, not code."""

import tomllib
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec

from creditstream.errors import StartError
from schemas.assessment import Assessment
from schemas.decision import Decision, unscored
from schemas.order import Order


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For one product: the lowest score (0 to 1000) that is approved, and the largest amount (`inf`: any).

    Both must be written down: a line that somebody forgot must not approve anything.
    """

    approve_from: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    max_amount: Decimal

    def __post_init__(self) -> None:
        if self.max_amount.is_nan() or self.max_amount <= 0:
            raise ValueError("max_amount must be a number above zero, or inf for none")


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`version` is stored with every decision made by it. `default`: for all products without a rule of their own."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$(?!\n)")]
    default: Rule | None = None
    products: dict[str, Rule] = {}

    def __post_init__(self) -> None:
        if self.default and not self.default.max_amount.is_finite():
            raise ValueError("the default rule needs a max_amount that is a limit")
        if not self.default and not self.products:
            raise ValueError("there is no rule: no product could be decided")

    def rule(self, product: str) -> Rule | None:
        """By the product's exact name. None: there is no rule, and nothing may be approved."""
        return self.products.get(product, self.default)


def decide(order: Order, assessment: Assessment, policy: Policy) -> Decision:
    """The decision about a scored order: same input, same decision. `reason` is one of four stable words."""
    rule = policy.rule(order.product)
    if rule is None:
        return unscored("unknown_product", policy_version=policy.version)
    if order.amount > rule.max_amount:
        is_approved, reason = False, "amount_above_limit"
    elif assessment.score >= rule.approve_from:
        is_approved, reason = True, "score_above_threshold"
    else:
        is_approved, reason = False, "score_below_threshold"
    return Decision(
        status="approved" if is_approved else "rejected",
        reason=reason,
        reasons=assessment.reasons,
        score=assessment.score,
        model_version=assessment.model_version,
        policy_version=policy.version,
    )


def load_policy(path: str | Path | None = None) -> Policy:
    """The policy in that TOML file (None or "": the shipped one). Raises StartError with one line that says why not."""
    source = Path(path) if path else files("creditstream.order").joinpath("policy.toml")
    try:
        return msgspec.convert(tomllib.loads(source.read_text(encoding="utf-8"), parse_float=Decimal), Policy)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "not UTF-8"
    except RecursionError:
        problem = "nested too deeply"
    except (ValueError, msgspec.ValidationError) as error:  # not only what tomllib documents: also too many digits
        problem = " ".join(str(error).split())
    raise StartError(f"bad setting CREDITSTREAM_POLICY_FILE: {source}: {problem}")
