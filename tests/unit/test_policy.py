"""The credit policy: thresholds from a file, and a decision that says why."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import StartError
from creditstream.order.policy import Policy, Rule, decide, load_policy
from devtools.fakes import an_order
from schemas.assessment import Assessment
from schemas.decision import Decision, unscored

POLICY = Policy(
    version="7",
    default=Rule(approve_from=600, max_amount=Decimal("20000.00")),
    products={"card": Rule(approve_from=700, max_amount=Decimal("1000.00"))},
)


def _assessment(score: int) -> Assessment:
    return Assessment(score=score, reasons=("low_debt",), model_version="risk-3")


def _decide(score: int, product: str = "loan", amount: str = "1000.00") -> Decision:
    return decide(an_order(product=product, amount=Decimal(amount)), _assessment(score), POLICY)


@pytest.mark.parametrize(
    ("score", "product", "amount", "status", "reason"),
    [
        (600, "loan", "1.00", "approved", "score_above_threshold"),
        (599, "loan", "1.00", "rejected", "score_below_threshold"),
        (1000, "loan", "20000.00", "approved", "score_above_threshold"),
        (1000, "loan", "20000.01", "rejected", "amount_above_limit"),
        (1000, "loan", "999999999999.99", "rejected", "amount_above_limit"),
        (0, "loan", "1.00", "rejected", "score_below_threshold"),
        (699, "card", "1.00", "rejected", "score_below_threshold"),
        (700, "card", "1000.00", "approved", "score_above_threshold"),
        (1000, "card", "1000.01", "rejected", "amount_above_limit"),
        (0, "card", "1000.01", "rejected", "amount_above_limit"),
    ],
)
def test_thresholds(score: int, product: str, amount: str, status: str, reason: str) -> None:
    decision = _decide(score, product, amount)
    assert (decision.status, decision.reason) == (status, reason)


def test_a_decision_says_by_what_it_was_made() -> None:
    assert _decide(712) == Decision(
        status="approved",
        reason="score_above_threshold",
        reasons=("low_debt",),
        score=712,
        model_version="risk-3",
        policy_version="7",
    )


@given(st.integers(0, 999), st.sampled_from(["loan", "card"]))
def test_a_better_score_is_never_worse(score: int, product: str) -> None:
    assert _decide(score, product).is_settled
    if _decide(score, product).status == "approved":
        assert _decide(score + 1, product).status == "approved"


@pytest.mark.parametrize("path", [None, ""])
def test_the_shipped_policy(path: str | None) -> None:
    policy = load_policy(path)
    assert policy.version and policy.default is None
    assert all(rule.max_amount.is_finite() for rule in policy.products.values())
    rule = policy.rule("personal_loan")
    assert rule and rule.approve_from == 600


#: Not one of them is `personal_loan`: names are compared to the letter.
UNKNOWN = [
    "of another kind",
    "vehicle_loan",
    "Personal_Loan",
    " personal_loan",
    "personal_loan ",
    "personal-loan",
    "personal_loan\u200b",
    "per\u0455onal_loan",
    "default",
    "products",
]


@pytest.mark.parametrize("product", UNKNOWN)
def test_what_the_policy_does_not_name_is_never_approved(product: str) -> None:
    policy = load_policy(None)
    assert policy.rule(product) is None
    for amount in ("0.01", "1500.00", "999999999999.99"):
        decision = decide(an_order(product=product, amount=Decimal(amount)), _assessment(1000), policy)
        assert decision == unscored("unknown_product", policy_version=policy.version)


@given(st.text(min_size=1, max_size=64), st.integers(0, 1000), st.decimals("0.01", "999999999999.99", places=2))
def test_only_a_rule_by_that_name_approves(product: str, score: int, amount: Decimal) -> None:
    policy = load_policy(None)
    decision = decide(an_order(product=product, amount=amount), _assessment(score), policy)
    rule = policy.products.get(product)
    if rule is None:
        assert decision.reason == "unknown_product"
    elif decision.status == "approved":
        assert score >= rule.approve_from and amount <= rule.max_amount


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        GOOD + "[products.a]\napprove_from = 2\nmax_amount = 10\n[products.b]\napprove_from = 3\nmax_amount = inf\n"
    )
    policy = load_policy(str(path))
    assert policy == Policy(
        version="1",
        default=Rule(approve_from=1, max_amount=Decimal("0.5")),
        products={
            "a": Rule(approve_from=2, max_amount=Decimal(10)),
            "b": Rule(approve_from=3, max_amount=Decimal("inf")),
        },
    )
    assert policy.rule("c") == policy.default


#: The smallest file that starts.
GOOD = 'version = "1"\n[default]\nmax_amount = "0.50"\napprove_from = 1\n'


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "version"),
        ('version = "1"', "no rule"),
        ('version = "1"\n[products]', "no rule"),
        ('version = "1"\n[default]\napprove_from = 1', "max_amount"),
        ('version = "1"\n[default]\napprove_from = 1\nmax_amount = inf', "default rule needs a max_amount"),
        ('version = "1"\n[default]\nmax_amount = 5', "approve_from"),
        (GOOD + "[products.a]\napprove_from = 2", "max_amount"),
        (GOOD + "[products.a]\nmax_amount = 2", "approve_from"),
        (GOOD + "[products.a]\napprove_from = 2\nmax_amount = -inf", "above zero"),
        (GOOD + '[products.a]\napprove_from = 2\nmax_amount = "any"', "max_amount"),
        ("version = ", "Invalid value"),
        ('version = ""\n[default]\napprove_from = 1', "version"),
        ('version = "a b\\n"\n[default]\napprove_from = 1', "version"),
        (GOOD.replace("1\n", "1001\n"), "<= 1000"),
        (GOOD.replace("= 1\n", '= "1"\n'), "Expected `int`"),
        (GOOD.replace("= 1\n", "= 600.0\n"), "Expected `int`"),
        (GOOD + "aprove_from = 2", "aprove_from"),
        (GOOD.replace('"0.50"', "-1"), "above zero"),
        (GOOD.replace('"0.50"', "0"), "above zero"),
        (GOOD.replace('"0.50"', "nan"), "above zero"),
        (GOOD + "[products]\na = 1", "products"),
        ("\ufffe\n\n= \x00", ""),
        (GOOD + "nested = " + "[" * 5_000, "deeply"),
        (GOOD + "nested = " + "{a = " * 5_000, "deeply"),
        (GOOD.replace('"0.50"', "9" * 5_000), "digits"),
    ],
)
def test_a_bad_file_stops_the_start_with_one_line(tmp_path: Path, content: str, part: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StartError) as caught:
        load_policy(path)
    line = str(caught.value)
    assert line.startswith(f"bad setting CREDITSTREAM_POLICY_FILE: {path}: ") and part in line and "\n" not in line


@pytest.mark.parametrize("amount", ["1e400", "1" + "0" * 400 + ".0"])
def test_a_large_amount_is_a_limit_and_not_none(tmp_path: Path, amount: str) -> None:
    """A float would be infinite: a slip of the hand that lets every amount pass."""
    path = tmp_path / "large.toml"
    path.write_text(GOOD.replace('"0.50"', amount))
    assert load_policy(path).default == Rule(approve_from=1, max_amount=Decimal(amount))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(StartError, match="CREDITSTREAM_POLICY_FILE"):
            load_policy(path)
