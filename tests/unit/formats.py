"""One record of each kind, as this program writes it; `formats.json` holds them as the release before wrote them.

Written anew when `PREVIOUS` moves (CONTRIBUTING.md), by that release's code:
PYTHONPATH=.local/versions/<revision>:. .venv/bin/python -P -m tests.unit.formats > tests/unit/formats.json
"""

import json
from typing import Any
from uuid import UUID

from creditstream.errors import RiskUnavailable
from tests.unit.pipeline_rig import Rig, home_of, order_json, run

#: The order that each record is about.
ORDER = order_json(UUID("6a2b1f0e-7c1d-4e9a-9f5e-0b8d3c2a1f00"), metadata={"channel": "app"})
CONFLICT = ORDER.replace(b"1500.00", b"1.00")
HEADERS = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("producer", b"shop")]
#: Says what wrote it, so it differs.
_VERSION = "x-application-version"


def written() -> dict[str, dict[str, Any]]:
    """By topic: key, value and headers as text; the mark on `seen-changelog` is no text but hexadecimal."""
    topics: dict[str, Any] = {}
    forwards, waits, decides = Rig(), Rig(), Rig()
    elsewhere = (home_of(ORDER) + 1) % 4
    forwards.pipeline.accept(forwards.record(ORDER, partition=elsewhere, offset=5, headers=HEADERS, key=b"k"))
    waits.answer(ORDER, RiskUnavailable("away"))
    waits.pipeline.accept(waits.record(ORDER, offset=5, headers=HEADERS, key=b"k"))
    for rig in (forwards, waits):
        run(rig.run())
    for offset, value in ((5, ORDER), (6, CONFLICT)):
        decides.pipeline.accept(decides.record(value, offset=offset, headers=HEADERS, key=b"k"))
        run(decides.run())
    for name, rig in (
        ("orders-by-id", forwards),
        ("orders-retry", waits),
        ("order-status", decides),
        ("orders-dead-letter", decides),
        ("seen-changelog", decides),
    ):
        [(_, record)] = rig.publisher.topics[name]
        assert record.key is not None and record.value is not None
        binary = name == "seen-changelog"
        topics[name] = {
            "key": record.key.hex() if binary else record.key.decode(),
            "value": record.value.hex() if binary else record.value.decode(),
            "headers": {key: (value or b"").decode() for key, value in record.headers if key != _VERSION},
        }
    return topics


if __name__ == "__main__":
    print(json.dumps(written(), indent=2))
