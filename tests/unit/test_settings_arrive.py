"""Each number among the settings reaches the part that it is for, and no other: all are changed at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest

from creditstream.config.settings import PREFIX, Settings
from creditstream.kafka.lease import SHARE_OF_SESSION, Lease
from creditstream.kafka.topics import SEEN_CHANGELOG
from creditstream.worker.liveness import Liveness
from tests.unit.built_worker import Built, built

ROOT = Path(__file__).resolve().parents[2]
Read = Callable[[Built], Any]


class Way(NamedTuple):
    """A value that no other setting has, and where it is found in a worker that was built by it."""

    value: float
    read: Read
    found: float | None = None
    """As it is found there, when it is counted in another unit."""


def _gate(built: Built) -> Any:
    return built.services.risk.gate


def _retry(built: Built) -> Any:
    return built.pipeline._scoring._retry


def _letters(built: Built) -> Any:
    return built.pipeline.brakes._letters


def _window(built: Built) -> float:
    """Hours of the reception's window, whose beginning lies later by what clocks may differ."""
    reception = built.pipeline._reception
    return float((reception._window + reception._times._skew).total_seconds() / 3600)


def _ttl(built: Built) -> Any:
    return built.app.runtime._seen._table.options["ttl"]


def _changelog(name: str) -> Read:
    return lambda built: int(next(t for t in built.topics if t.name == SEEN_CHANGELOG).topic_configs[name])


def _web(built: Built) -> Any:
    return built.app.web


def _web_rate(built: Built) -> Any:
    requests: Any = built.app.guard._requests
    return requests._rate


def _lease(built: Built) -> float:
    """Of the group, by Faust's configuration, which our consumer reads."""
    return Lease(built.app.conf.broker_session_timeout)._holds_for


WAYS: dict[str, tuple[Way, ...]] = {
    "kafka_replication_factor": (Way(2, lambda b: b.topics[0].replication_factor),),
    "partitions": (Way(11, lambda b: b.topics[0].num_partitions),),
    "session_timeout": (
        Way(51.5, lambda b: b.app.conf.broker_session_timeout),
        Way(51.5, lambda b: b.app.conf.broker_request_timeout),
        Way(51.5, lambda b: b.app.conf.broker_heartbeat_interval, 51.5 / 15),
        Way(51.5, _lease, 51.5 * SHARE_OF_SESSION),
        Way(51.5, lambda b: b.app.runtime.liveness._silent_after, 515.0),
    ),
    "drain_timeout": (Way(7.5, lambda b: b.drained),),
    "stuck_after": (
        Way(601.5, lambda b: b.app.runtime.liveness.watchdog._stuck_after),
        Way(601.5, lambda b: b.app.runtime.liveness._transactions._stuck_after),
    ),
    "postgres_pool": (Way(17, lambda b: b.pool), Way(17, lambda b: _web(b).connections._pools, 257 + 17)),
    "risk_deadline": (Way(19.5, lambda b: b.services.risk._client._deadline),),
    "risk_attempt_timeout": (Way(4.5, lambda b: b.services.risk._client._attempt_timeout),),
    "risk_concurrency": (
        Way(257, lambda b: _gate(b).limiter.ceiling),
        Way(257, lambda b: b.pipeline._scoring._concurrency),
        Way(257, lambda b: _web(b).connections._pools, 257 + 17),
    ),
    "risk_concurrency_floor": (Way(9, lambda b: _gate(b).limiter.floor),),
    "risk_rate": (Way(123.5, lambda b: _gate(b).pace.rate),),
    "risk_retry_share": (Way(0.31, lambda b: _gate(b).budget._share),),
    "risk_breaker_share": (
        Way(0.32, lambda b: _gate(b).breaker._rule.share),
        Way(0.32, lambda b: _gate(b).unusable._share),
    ),
    "risk_breaker_min_calls": (
        Way(51, lambda b: _gate(b).breaker._rule.min_calls),
        Way(51, lambda b: _gate(b).unusable._least),
    ),
    "risk_breaker_window": (
        Way(10.5, lambda b: _gate(b).breaker._rule.window),
        Way(10.5, lambda b: _gate(b).unusable._seconds),
    ),
    "risk_breaker_pause": (Way(2.5, lambda b: _gate(b).breaker._rule.pause),),
    "max_in_flight": (Way(2_001, lambda b: b.pipeline._backpressure._most),),
    "under_review_after": (Way(1.5, lambda b: b.pipeline._overdue._after),),
    "retry_delay": (Way(31.5, lambda b: _retry(b).delay),),
    "retry_max_delay": (Way(3_601.5, lambda b: _retry(b).longest),),
    "retry_max_attempts": (Way(21, lambda b: _retry(b).max_turns),),
    "retry_max_age": (Way(86_401.5, lambda b: _retry(b).max_age),),
    "dead_letter_limit": (Way(1_001, lambda b: _letters(b)._most),),
    "dead_letter_share": (Way(0.33, lambda b: _letters(b)._share),),
    "dead_letter_window": (Way(302.5, lambda b: _letters(b)._seconds),),
    "seen_retention": (
        Way(170.0, _window),
        Way(170.0, _ttl, 170 * 3_600),
        Way(170.0, _changelog("retention.ms"), 170 * 3_600_000),
        Way(170.0, _changelog("segment.ms"), 170 * 3_600_000 / 8),
    ),
    "order_max_bytes": (Way(262_145, lambda b: b.pipeline._reception._max_bytes),),
    "clock_skew": (Way(86_402.5, lambda b: b.pipeline._reception._times._skew.total_seconds()),),
    "web_port": (Way(6_067, lambda b: b.app.conf.web_port),),
    "web_rate": (Way(201.5, _web_rate),),
}
#: What commands and the start read, and where a test changes it.
ELSEWHERE = {
    "start_timeout": "tests/unit/test_start_while_kafka_restarts.py",
    "retention_months": "tests/acceptance/test_retention.py",
    "retention_keys_months": "tests/acceptance/test_retention.py",
}


def numbers() -> set[str]:
    hints = get_type_hints(Settings, include_extras=True)
    return {name for name in Settings.__struct_fields__ if get_args(hints[name])[0] in (int, float)}


def test_each_number_has_its_way_and_a_value_of_its_own() -> None:
    assert numbers() == WAYS.keys() | ELSEWHERE.keys()
    values = [ways[0].value for ways in WAYS.values()]
    assert len(set(values)) == len(values), "settings that are mixed up show"
    unchanged = [name for name, ways in WAYS.items() if {way.value for way in ways} == {getattr(Settings(), name)}]
    assert not unchanged


def test_what_is_read_elsewhere_is_changed_there() -> None:
    for name, path in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"{name}=" in text or PREFIX + name.upper() in text, f"{path} does not change {name}"


@pytest.fixture(scope="module")
def worker() -> Built:
    with pytest.MonkeyPatch.context() as monkeypatch:
        values: dict[str, Any] = {name: ways[0].value for name, ways in WAYS.items()}
        return built(Settings(**values), monkeypatch)


def test_a_group_is_silent_no_later_than_a_partition_is_stuck(worker: Built) -> None:
    assert Liveness(worker.app, Settings(stuck_after=7.0))._silent_after == 7.0


@pytest.mark.parametrize("name", WAYS)
def test_it_arrives(name: str, worker: Built) -> None:
    for way in WAYS[name]:
        wanted = way.value if way.found is None else way.found
        assert way.read(worker) == wanted
