"""What the web backend decides without I/O: places in the stream, cursors, filters, sessions, who may ask how often."""

import asyncio
import contextlib
import zlib
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.config.secret import Secret
from creditstream.metrics.throughput import Throughput
from creditstream.web.access.asking import is_here
from creditstream.web.access.login import SESSION_SECONDS, Login
from creditstream.web.access.rate_limit import Buckets
from creditstream.web.answers.dashboard import Dashboard
from creditstream.web.answers.queries import BadQuery, new_cursor, parse_order_id, parse_query, read_cursor
from creditstream.web.answers.stats import Lag, Stats, Worker
from creditstream.web.live.event_stream import GZIP_HEADER, Block
from creditstream.web.live.recent import Change, Recent

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 40), st.integers(1, 50))
def test_a_token_resumes_behind_what_it_stands_for_or_says_that_it_cannot(
    partitions: list[int], seen: int, kept: int
) -> None:
    recent, offsets, tokens, sent = Recent([5, 0, 7, 0], kept), [5, 0, 7, 0], [], []
    tokens.append(recent.token())
    for number, partition in enumerate(partitions):
        change = Change(partition, offsets[partition], str(number).encode())
        offsets[partition] += 1
        sent.append(change.data)
        tokens += [token for token, _ in recent.extend([change])]
    seen = min(seen, len(sent))
    positions = recent.parse(tokens[seen])
    assert positions is not None
    replay = recent.replay(positions)
    if len(sent) - seen <= kept:
        assert replay is not None
    if replay is not None:
        assert [data for _, data in replay] == sent[seen:]
        assert [token for token, _ in replay] == tokens[seen + 1 :]


@pytest.mark.parametrize("token", [None, "", "1", "x.0.0.0", "-1.0.0.0", "1.1.1.1.1", "f" * 17 + ".0.0.0"])
def test_a_token_that_is_none_is_refused(token: str | None) -> None:
    assert Recent([0, 0, 0, 0]).parse(token) is None


def test_a_token_from_a_worker_that_is_ahead_waits() -> None:
    recent = Recent([0, 0])
    assert recent.is_ahead([0, 1])
    assert recent.replay([0, 1]) is None
    recent.extend([Change(1, 0, b"x")])
    assert recent.replay([0, 1]) == []


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_compressed_blocks_make_one_stream_in_any_order(texts: list[bytes]) -> None:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    inflate.decompress(GZIP_HEADER)
    for text in texts:
        assert inflate.decompress(Block(text).form(gzip=True, chunked=False).data) == text
    assert Block(b"abc").form(gzip=False, chunked=True).data == b"3\r\nabc\r\n"


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)), st.uuids())
def test_a_cursor_is_its_place(moment: datetime, order_id: UUID) -> None:
    assert read_cursor(new_cursor(moment, order_id)) == (moment, order_id)


@given(st.text(max_size=40))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with contextlib.suppress(BadQuery):
        assert new_cursor(*read_cursor(text)) == text


@given(st.dictionaries(st.sampled_from(["status", "product", "customer", "from", "to", "cursor", "limit"]), st.text()))
def test_any_query_is_understood_or_refused(query: dict[str, str]) -> None:
    try:
        parse_query(query)
    except BadQuery as error:
        assert "\n" not in str(error)


def test_dates_are_days_in_utc() -> None:
    query = parse_query({"from": "2026-11-23", "to": "2026-11-23", "customer": "c", "limit": "7"})
    assert (query.search.since, query.search.until) == (NOON.replace(hour=0), NOON.replace(hour=0) + timedelta(days=1))
    assert (query.search.customer, query.limit) == ("c", 7)
    assert parse_query({"to": "2026-11-23T09:00:00-03:00"}).search.until == NOON


@pytest.mark.parametrize("text", ["", "x", UUID(int=1).hex, f"{{{UUID(int=1)}}}", f"urn:uuid:{UUID(int=1)}"])
def test_only_a_uuid_as_it_is_written_is_an_order_id(text: str) -> None:
    with pytest.raises(BadQuery):
        parse_order_id(text)


def test_a_session_ends_and_only_the_tokens_owner_makes_one() -> None:
    login, other = Login(Secret("a" * 16)), Login(Secret("b" * 16))
    cookie = login.new_session(1_000)
    assert login.session_end(cookie, 1_000) == 1_000 + SESSION_SECONDS
    assert login.session_end(cookie, 1_000 + SESSION_SECONDS) is None
    assert other.session_end(cookie, 1_000) is None
    for forged in ("", "x", "9999999999.x.", "9" + cookie, cookie + "0", cookie.replace(".", "é", 1)):
        assert login.session_end(forged, 1_000) is None
    assert login.accepts("a" * 16)
    assert not login.accepts("a" * 15)


def test_a_client_asks_so_often_and_not_more() -> None:
    buckets = Buckets(2, 3)
    assert [buckets.take("a", 0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b", 0) == 0
    assert buckets.wait("a", 0.25) == 0.25
    assert buckets.take("a", 0.5) == 0


def test_orders_are_counted_by_the_second() -> None:
    throughput = Throughput()
    throughput.add(100.1, [0.010] * 99 + [9.0])
    throughput.add(100.9, [0.020])
    throughput.add(102.0, [0.030])
    orders, latency = throughput.series(103.5)
    assert (len(orders), len(latency)) == (60, 60)
    assert orders[-4:] == [0, 101, 0, 1]
    assert latency[-4:] == [None, 10.0, None, 30.0]
    assert sum(throughput.series(500)[0]) == 0
    for _ in range(10):
        throughput.add(600, [0.5] * 700)
    assert throughput.series(601)[0][-1] == 7_000
    assert throughput.series(601)[1][-1] == 500.0


@pytest.mark.parametrize("host", ["localhost:6066", "127.0.0.1", "[::1]:6066", "LOCALHOST."])
def test_this_machine_is_known_by_its_own_names(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize("host", ["evil.example:6066", "localhost@evil.example", "localhost:abc", "::1", ""])
def test_another_name_that_leads_to_this_machine_is_not_its_own(host: str) -> None:
    assert not is_here(host)


def test_many_who_ask_for_the_numbers_at_once_are_one_question() -> None:
    now, asked = [0.0], []

    class Replica:
        async def today(self) -> None:
            asked.append(now[0])

    worker = Worker(lambda: len(asked), lambda: Lag(0, 0.0), lambda: ([], []), dict, list)
    stats = Stats(cast(Dashboard, Replica()), worker, lambda: now[0])
    answers = []
    for now[0] in (0.0, 0.1, 0.2, 0.3):
        answers.append(asyncio.run(stats.json()))
    assert asked == [0.0, 0.3]
    assert answers[0] == answers[1] == answers[2] != answers[3]
