"""Answers of the simulated risk API that are no score: what an API may say when it is not well."""

from typing import Literal

import msgspec

from creditstream.simulation.risk_http import Answer

_encode = msgspec.json.Encoder().encode

Mode = Literal[
    "ok", "hang", "reset", "garbage", "html", "huge", "no_file", "out_of_range", "ambiguous", "another_order", "several"
]
#: JSON, and no score that may be used for the order.
NO_FILE_ANSWER = Answer(200, b'{"score":null,"reasons":["no_file"],"model_version":"simulated-1"}')
STRANGE = {
    "garbage": Answer(200, b'{"score": 7'),
    "html": Answer(200, b"<html><body>Sign in</body></html>", "text/html"),
    "huge": Answer(200, b'{"score":1,"model_version":"m","padding":"' + b"x" * 300_000 + b'"}'),
    "no_file": NO_FILE_ANSWER,
    "out_of_range": Answer(200, b'{"score":1001,"reasons":[],"model_version":"m"}'),
    "ambiguous": Answer(200, b'{"score":700,"score":100,"reasons":[],"model_version":"m"}'),
    "another_order": Answer(
        200, b'{"order_id":"00000000-0000-4000-8000-000000000000","score":700,"model_version":"m"}'
    ),
    "several": Answer(200, b'[{"score":700,"model_version":"m"},{"score":100,"model_version":"m"}]'),
    "hang": Answer(200, b"", wait=None),
    "reset": Answer(200, b"", drop=True),
}


def error_answer(status: int, text: str) -> Answer:
    return Answer(status, _encode({"error": text}))
