"""The words that labels have for outcomes: of orders, of dead letters, of calls."""

from schemas.dead_letter import REMOVED_UNREAD
from schemas.decision import FOR_A_PERSON

OUTCOME = ("approved", "rejected", "parked", *FOR_A_PERSON, "conflict", "unstorable")
INVALID = (
    "duplicate_key",
    "empty",
    "invalid_amount",
    "invalid_field",
    "invalid_text",
    "invalid_time",
    "not_an_object",
    "not_json",
    "not_utf8",
    "too_deep",
    "too_large",
    "unreadable",
)
UNSTORABLE = ("constraint_violation", "invalid_data", "limit_exceeded", "row_removed")
LETTER = (*INVALID, *UNSTORABLE, "conflict", REMOVED_UNREAD, *FOR_A_PERSON)
CALL = ("scored", "refused", "unusable", "throttled", "unavailable", "bad_answer", "timeout", "broken", "cancelled")
