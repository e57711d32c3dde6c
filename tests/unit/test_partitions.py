"""The home partition is the one that Kafka's own default partitioner chooses."""

from uuid import UUID

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from creditstream.order.home_partition import home_partition


@given(st.uuids(), st.integers(1, 1000))
def test_equals_the_partitioner_of_aiokafka(order_id: UUID, partitions: int) -> None:
    key = str(order_id).encode()
    chosen = DefaultPartitioner()(key, list(range(partitions)), list(range(partitions)))
    assert home_partition(order_id, partitions) == chosen


@pytest.mark.parametrize(
    ("order_id", "partition"),
    [
        # Utils.toPositive(Utils.murmur2(key)) % 7 of kafka-clients 4.1.1, run under Java.
        ("7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11", 1),
        ("00000000-0000-0000-0000-000000000000", 3),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 4),
        ("123e4567-e89b-42d3-a456-426614174000", 1),
    ],
)
def test_equals_the_java_client(order_id: str, partition: int) -> None:
    assert home_partition(UUID(order_id), 7) == partition
