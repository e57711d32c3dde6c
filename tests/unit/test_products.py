"""One set of products: the policy decides them, the load sends them, the page has words for them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditstream.order.policy import load_policy
from creditstream.simulation.mix import PRODUCTS, make_mix
from devtools.fakes import an_order
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE, WAITING

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "creditstream" / "web" / "static"


def words(language: str, kind: str) -> set[str]:
    """What the page has a word for in that language."""
    return set(re.findall(rf'"{kind}\.(\w+)":', (STATIC / f"words-{language}.js").read_text()))


def named_in_docs() -> Iterator[tuple[Path, str]]:
    """Products of orders that the documents show."""
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for product in re.findall(r'"product"\s*:\s*"(\w+)"', path.read_text()):
            yield path, product


def test_policy_and_load_name_the_same_products() -> None:
    assert set(load_policy(None).products) == {product for product, *_ in PRODUCTS}


@pytest.mark.parametrize("language", ["pt", "en"])
def test_the_page_has_words_for_each_product_and_each_reason(language: str) -> None:
    assert words(language, "product") == set(load_policy(None).products)
    decided = {"score_above_threshold", "score_below_threshold", "amount_above_limit"}
    assert words(language, "reason") == decided | set(FOR_A_PERSON) | {RISK_UNAVAILABLE, WAITING.reason}


def test_the_policy_has_a_rule_for_every_order_of_a_load() -> None:
    policy = load_policy(None)
    for product, _, most, _ in PRODUCTS:
        rule = policy.rule(product)
        assert rule and most <= rule.max_amount, product
    assert all(b'"product"' in line.value for line in make_mix(50, 0, 0, 0, seed=1))


def test_examples_name_products_that_are_known() -> None:
    known = set(load_policy(None).products)
    assert an_order().product in known
    assert {product for _, product in named_in_docs()} <= known
