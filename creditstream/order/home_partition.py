"""PURE: which partition an order id belongs to: what Kafka's default partitioner does with the id as key."""

import struct
from uuid import UUID

#: murmur2 as Kafka's Java client has it (org.apache.kafka.common.utils.Utils): its seed and its multiplier.
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_32_BITS = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF

#: An id's text has 36 bytes: nine whole words, no tail. aiokafka's murmur2 takes any length and three times as long.
_KEY_BYTES = 36
_words = struct.Struct("<9I").unpack


def home_partition(order_id: UUID, partitions: int) -> int:
    """The partition, from 0, of the key `str(order_id)` on a topic of so many `partitions`."""
    return (_murmur2(str(order_id).encode()) & _POSITIVE) % partitions


def _murmur2(key: bytes) -> int:
    """Of a key of exactly 36 bytes, as an unsigned number."""
    hashed = _SEED ^ _KEY_BYTES
    for word in _words(key):
        word = word * _MULTIPLIER & _32_BITS
        hashed = (hashed * _MULTIPLIER ^ (word ^ word >> 24) * _MULTIPLIER) & _32_BITS
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _32_BITS
    return hashed ^ hashed >> 15
