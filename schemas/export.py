"""JSON Schemas of all that travels, for other programs: `python -m schemas.export` writes them to schemas/json/."""

import sys
from pathlib import Path

import msgspec

from schemas.assessment import Assessment
from schemas.dead_letter import DeadLetter
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import StatusRecord

FOLDER = Path(__file__).parent / "json"
_TYPES = {
    "order": Order,
    "assessment": Assessment,
    "decision": Decision,
    "status": StatusRecord,
    "dead_letter": DeadLetter,
}
_AMOUNT_AS_TEXT = {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,2})?$"}
_AMOUNT_AS_NUMBER = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000_000_000}


def exported() -> dict[str, bytes]:
    """File name -> content."""
    return {f"{name}.json": _render(name, kind) for name, kind in _TYPES.items()}


def _render(name: str, kind: type) -> bytes:
    schema = msgspec.json.schema(kind)
    (definition,) = schema.pop("$defs").values()
    definition |= {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if name == "order":
        # What decode_order does beyond the struct: numbers are taken, unknown fields are kept in `metadata`.
        definition["properties"]["amount"] = {"anyOf": [_AMOUNT_AS_TEXT, _AMOUNT_AS_NUMBER]}
        definition["additionalProperties"] = True
    if name == "status":
        definition["properties"]["amount"] = _AMOUNT_AS_TEXT
        for field in ("created_at", "updated_at"):
            definition["properties"][field]["format"] = "date-time"
    if name == "dead_letter":
        definition["description"] += " On the topic the value is the record's own bytes, and these are headers (x-...)."
    return msgspec.json.format(msgspec.json.encode(definition, order="sorted"), indent=2) + b"\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, content in exported().items():
        (FOLDER / name).write_bytes(content)
        sys.stdout.write(f"{FOLDER / name}\n")


if __name__ == "__main__":
    main()
