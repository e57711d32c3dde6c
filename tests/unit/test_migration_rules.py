"""Migrations: a landed file never changes, and the version before can work on what a new one leaves."""

import re

import pytest

from creditstream.store.migrations import Migration, shipped

#: Every file that has landed. A new one adds its line; a line that is here never changes.
LANDED = {
    "0001_orders.sql": "7e6468ad99bdb1220f26e7b7ec7d8d89b2e315f81d7b7fd8a352928baaca871d",
    "0002_pedidos.sql": "362da4ce6a6fe14da1331ef25982e3638f5c2fccaaf56dff217a137ba4a2a8e6",
    "0003_retention.sql": "2699937074834a8c6510662edffad5ba907caf856f349661cde8b569ac1e2416",
    "0004_kept_months.sql": "935864ac409e5a65fd87a6bd187aee65e70d64939b2181cf6a78a0b73e2a8502",
    "0005_taken_back.sql": "b134168c4293258968ce693e39b7d729924bfb990f422f21b18aaafafbf972c5",
}
#: What breaks statements of the version before, or blocks it for as long as the table is long.
_HARMS = re.compile(
    r"\bDROP (TABLE|VIEW|COLUMN|FUNCTION|TYPE|SCHEMA)\b"
    r"|\bRENAME\b|\bSET NOT NULL\b|\bALTER( COLUMN)? \w+ (SET DATA )?TYPE\b"
    r"|\bADD COLUMN (?:(?!,|;)[\s\S])*\bNOT NULL\b(?!(?:(?!,|;)[\s\S])*\bDEFAULT\b)"
    r"|\bADD (CONSTRAINT \w+ )?(CHECK|UNIQUE|PRIMARY KEY|FOREIGN KEY)\b(?!(?:(?!;)[\s\S])*\bNOT VALID\b)"
    r"|\b(TRUNCATE|LOCK TABLE \w+ IN ACCESS EXCLUSIVE)\b",
    re.IGNORECASE,
)
#: The second half of a change: no version that is still supported uses what goes.
_CONTRACT = re.compile(r"^-- contract: not used since \d+\.\d+\.\d+$", re.MULTILINE)


def harms(text: str) -> list[str]:
    """Statements outside functions that the version before may not survive, unless the file says why it will."""
    if _CONTRACT.search(text):
        return []
    plain = re.sub(r"\$\$.*?\$\$|--[^\n]*", "", text, flags=re.DOTALL)
    return [found.group() for found in _HARMS.finditer(plain)]


def test_what_has_landed_is_unchanged_and_comes_first() -> None:
    names = [migration.name for migration in shipped()]
    assert names[: len(LANDED)] == list(LANDED)
    assert {each.name: each.checksum for each in shipped()} == LANDED, "a new file's checksum goes into LANDED"


@pytest.mark.parametrize("migration", shipped(), ids=lambda migration: migration.name)
def test_the_version_before_can_work_on_it(migration: Migration) -> None:
    assert harms(migration.text) == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE orders DROP COLUMN reason;",
        "ALTER TABLE orders RENAME COLUMN reason TO why;",
        "ALTER TABLE orders ALTER COLUMN score SET NOT NULL;",
        "ALTER TABLE orders ALTER COLUMN score TYPE bigint;",
        "ALTER TABLE orders ADD COLUMN branch text NOT NULL;",
        "ALTER TABLE orders ADD CONSTRAINT small CHECK (amount < 10);",
        "DROP VIEW pedidos;",
        "TRUNCATE orders;",
    ],
)
def test_a_statement_that_harms_would_be_seen(statement: str) -> None:
    assert harms(statement)
    assert harms(f"-- contract: not used since 0.2.0\n{statement}") == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE new (id uuid PRIMARY KEY);",
        "ALTER TABLE orders ADD COLUMN branch text;",
        "ALTER TABLE orders ADD COLUMN branch text NOT NULL DEFAULT '';",
        "ALTER TABLE orders ADD CONSTRAINT small CHECK (amount < 10) NOT VALID;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DROP TABLE t $$;",
    ],
)
def test_a_statement_that_expands_passes(statement: str) -> None:
    assert harms(statement) == []
