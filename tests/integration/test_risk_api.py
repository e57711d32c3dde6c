"""The simulated risk API as a process, and both sides of the interface against its OpenAPI file."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from creditstream.config.settings import Settings
from creditstream.risk.client import RiskClient
from creditstream.risk.messages import encode_request, read_answer
from creditstream.simulation.risk_api import Simulator, score_for
from devtools.fakes import ManualClock, an_order

OPENAPI: dict[str, Any] = yaml.safe_load(
    files("creditstream.simulation").joinpath("risk_api.openapi.yaml").read_text(encoding="utf-8")
)
ASSESS = OPENAPI["paths"]["/v1/assessments"]["post"]


def check(schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": OPENAPI["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    found: Any = OPENAPI
    if "$ref" not in node:
        return node
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def body_schema(node: dict[str, Any]) -> dict[str, Any]:
    return dict(resolve(node)["content"]["application/json"]["schema"])


@pytest.fixture
def process() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "creditstream.simulation.risk_api", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        yield started
        if started.poll() is None:
            started.kill()


def address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[-1]


def get(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
        return json.loads(answer.read())


def test_serves_the_client_and_ends_cleanly(process: "subprocess.Popen[str]") -> None:
    url, order = address(process), an_order()

    async def assess() -> int:
        client = await RiskClient.open(Settings(risk_url=url))
        score = (await client.assess(order)).score
        await client.close()
        return score

    assert get(f"{url}/health") == {"status": "ok"}
    assert asyncio.run(assess()) == score_for(order.order_id)
    get(f"{url}/control", b'{"next": [{"status": 503}]}')
    assert asyncio.run(assess()) == score_for(order.order_id)
    journal = get(f"{url}/journal")
    assert (journal["calls"], journal["keys"], journal["max_calls_per_key"]) == (3, 1, 3)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "")


def test_speaks_http_with_clients_of_all_habits(process: "subprocess.Popen[str]") -> None:
    """A body in pieces, two requests in one piece, Expect: 100-continue, chunks, and a connection to be closed."""
    host, port = address(process).removeprefix("http://").split(":")

    async def talk(*pieces: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        heard = b""
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if b"Expect" in piece:
                heard += await reader.readuntil(b"\r\n\r\n")
        heard += await reader.read()
        writer.close()
        return heard

    health = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    control = b"POST /control HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    assert asyncio.run(talk(health + last)).count(b"200 OK") == 2
    assert asyncio.run(talk(control, b"\r\n{", b"}")).count(b"200 OK") == 1
    assert b"100 Continue" in asyncio.run(talk(control + b"Expect: 100-continue\r\n\r\n", b"{}"))
    wish = control.replace(b"close", b"Upgrade, HTTP2-Settings") + b"Upgrade: h2c\r\n\r\n{}"
    assert asyncio.run(talk(wish + last)).count(b"200 OK") == 2, "another protocol is not spoken, and this one goes on"
    assert b" 411 " in asyncio.run(talk(b"POST /control HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"))
    assert b" 411 " in asyncio.run(talk(b"nonsense\r\n\r\n"))


orders = st.builds(
    an_order,
    order_id=st.uuids(),
    amount=st.decimals(min_value="0.01", max_value="999999999999.99", places=2, allow_nan=False),
    term_months=st.integers(1, 600),
    customer_id=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64),
    created_at=st.datetimes(timezones=st.timezones()).map(
        lambda moment: moment.replace(tzinfo=ManualClock().now().tzinfo)
    ),
)


@given(orders)
def test_the_clients_requests_are_as_described(order: Any) -> None:
    check(body_schema(ASSESS["requestBody"]), json.loads(encode_request(order)))


@given(orders)
def test_the_simulators_answers_are_as_described(order: Any) -> None:
    answer = Simulator().handle("POST", "/v1/assessments", str(order.order_id), encode_request(order))
    check(body_schema(ASSESS["responses"][str(answer.status)]), json.loads(answer.body))
    if answer.status == 200:
        assert read_answer(order, 200, answer.body, None, ManualClock().now()).score == score_for(order.order_id)


@pytest.mark.parametrize("status", sorted(ASSESS["responses"]))
def test_every_described_status_can_be_had(status: str) -> None:
    simulator, order = Simulator(), an_order()
    if status != "200":
        script = json.dumps({"next": [{"status": int(status)}]}).encode()
        assert simulator.handle("POST", "/control", "", script).status == 200
    answer = simulator.handle("POST", "/v1/assessments", str(order.order_id), encode_request(order))
    assert answer.status == int(status)
    check(body_schema(ASSESS["responses"][status]), json.loads(answer.body))


@pytest.mark.parametrize(
    "wrong",
    [{"amount": 1500}, {"amount": "1500"}, {"amount": "0.00"}, {"term_months": 0}, {"order_id": "x"}, {"metadata": {}}],
)
def test_the_description_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(body_schema(ASSESS["requestBody"]), json.loads(encode_request(an_order())) | wrong)


def test_the_description_names_what_the_client_sends() -> None:
    assert [parameter["name"] for parameter in ASSESS["parameters"]] == ["Idempotency-Key"]
    assert OPENAPI["openapi"].startswith("3.1")
