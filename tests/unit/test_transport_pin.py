"""What is replaced in Faust, aiokafka and aiohttp is what ours was written against: an upgrade is a decision.

When this fails after an upgrade: read the new source of what changed, adapt ours, run the integration and
acceptance tests, then write the new hash here.
"""

import hashlib
import inspect
from typing import Any, cast

import faust
import pytest
from aiohttp.web import AppRunner, RequestHandler, Server
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.record.memory_records import _MemoryRecordsPy
from faust.stores.rocksdb import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Producer, Transport

from creditstream.kafka import reading as kafka_reading

#: What ours stand for in aiokafka's own module.
_REAL_RESULT: Any = kafka_reading._Result.__base__
_REAL_RECORDS: Any = kafka_reading._Records.__base__

_REPLACED: list[tuple[Any, str]] = [
    (Consumer.perform_seek, "0e8c130ff4b0afd8"),
    (Consumer.on_partitions_revoked, "d04b7ae72c6fc206"),
    (Consumer.ack, "5fcf41cf45153475"),
    (Consumer.wait_empty, "e4662fe24f094819"),
    (Consumer.force_commit, "cc094614d22c70fb"),
    (Consumer.verify_all_partitions_active, "4e0e46f5c297305d"),
    (Consumer._drain_messages, "44a2500309e83c63"),
    (Consumer._wait_next_records, "6218e1969a636b3f"),
    (Consumer.getmany, "4b168d84882a70d6"),
    (Consumer.on_buffer_full, "c8961679e0bcdce5"),
    (Producer.on_start, "219c9a7a785d77b2"),
    (Table.on_rebalance, "0812ad692171a8fd"),
    (Recovery._add, "1584a197b11bf835"),
    (Recovery._wait, "ec7429b70176f8c6"),
    (cast(Any, Recovery._restart_recovery).fun, "6bd8a8558a2dffe4"),
    (Recovery._resume_streams, "d986a6710c1aca98"),
    (Store.on_rebalance, "38357aed5b7fc777"),
    (Store.persisted_offset, "6f2e502fb86043a1"),
    (cast(property, TableManager.recovery).fget, "f0bf5de78b4c3d23"),
    (AIOKafkaConsumerThread._commit, "932852ce7a23f658"),
    (AIOKafkaConsumerThread._seek_wait, "9d221e816d940467"),
    (AIOKafkaConsumerThread._create_worker_consumer, "c2701bfc3e6f6cad"),
    (AIOKafkaConsumerThread._fetch_records, "39a2c6c79fc1455a"),
    (AIOKafkaConsumerThread.highwater, "6f7dbe109ae6807f"),
    (Fetcher.fetched_records, "be4348896b9b66af"),
    (Fetcher._proc_fetch_request, "59bf948fff47eed5"),
    (_REAL_RESULT.getall, "3e717e30de5068d5"),
    (_REAL_RECORDS._unpack_records, "b803e6d46480732c"),
    (_REAL_RECORDS._consumer_record, "e668541600b047ab"),
    (_MemoryRecordsPy.next_batch, "f1779ecb6d0d344c"),
    (AIOKafkaConnection.send, "5909ea32f4efca49"),
    (AIOKafkaConnection._send_sasl_token, "7a3d948fc526c953"),
    (RequestHandler.connection_made, "44d50b5763b2c7e4"),
    (RequestHandler.data_received, "1ee57ebe052e6c80"),
    (RequestHandler._handle_request, "a88a34ee65a2714c"),
    (RequestHandler.handle_error, "94962ffef500c172"),
    (AppRunner._make_server, "2d5358865abd00e3"),
    (Server.__call__, "c5700549e688b164"),
]


def test_faust_is_the_version_that_was_read() -> None:
    assert faust.__version__ == "0.15.3"


@pytest.mark.parametrize(("replaced", "known"), _REPLACED, ids=lambda value: getattr(value, "__qualname__", ""))
def test_replaced_method_is_the_one_that_was_read(replaced: Any, known: str) -> None:
    assert _hash(replaced) == known, f"{replaced.__qualname__} changed: read it again before trusting what replaces it"


def test_the_coordinator_still_has_what_the_thread_wraps() -> None:
    assert inspect.iscoroutinefunction(GroupCoordinator._send_req)
    assert inspect.iscoroutinefunction(GroupCoordinator._perform_assignment)


def test_the_fetcher_still_reads_what_the_thread_sets() -> None:
    assert "self._fetch_max_wait_ms," in inspect.getsource(Fetcher)


def test_the_transport_still_takes_its_consumer_from_the_class() -> None:
    assert inspect.isclass(Transport.Consumer)


def _hash(function: Any) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
