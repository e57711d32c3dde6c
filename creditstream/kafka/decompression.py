"""PURE: a batch of records (`kafka.batches`) uncompressed, within bounds: a few bytes may hold gigabytes."""

import struct
import zlib
from types import ModuleType

import cramjam

from creditstream.kafka.batches import ATTRIBUTES, HEADER, MOST_BYTES, Unreadable, too_large

_CODEC = 0x07
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_ANY_GZIP = 31
#: snappy-java's frames: magic and two versions, then blocks with their lengths.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16
_FIRST_GUESS = 8


def is_compressed(batch: bytes | memoryview) -> bool:
    """Of a batch of version 2."""
    return bool(batch[ATTRIBUTES + 1] & _CODEC)


def uncompressed(batch: bytes | memoryview) -> tuple[bytes, bool]:
    """The same batch with its records uncompressed, and whether that is all of it. Raises Unreadable.

    The checksum is not that of the result: look at it before.
    """
    codec = batch[ATTRIBUTES + 1] & _CODEC
    payload, whole = _decompressed(codec, bytes(batch[HEADER.size :]))
    head = bytearray(batch[: HEADER.size])
    head[ATTRIBUTES + 1] &= ~_CODEC & 0xFF
    return bytes(head) + payload, whole


def _decompressed(codec: int, payload: bytes) -> tuple[bytes, bool]:
    try:
        if codec == _GZIP:
            return _gunzipped(payload)
        if codec == _SNAPPY:
            return _unsnapped(payload)
        if codec in (_LZ4, _ZSTD):
            return _unpacked(cramjam.lz4 if codec == _LZ4 else cramjam.zstd, payload)
    except (cramjam.DecompressionError, zlib.error, struct.error, OverflowError, MemoryError) as error:
        raise Unreadable(f"the batch cannot be decompressed: {type(error).__name__}") from None
    raise Unreadable(f"compression {codec} is not one that Kafka has")


def _gunzipped(payload: bytes) -> tuple[bytes, bool]:
    """All members of the file."""
    found = bytearray()
    while payload:
        member = zlib.decompressobj(_ANY_GZIP)
        found += member.decompress(payload, MOST_BYTES + 1 - len(found))
        if len(found) > MOST_BYTES:
            return bytes(found[:MOST_BYTES]), False
        if not member.eof:
            raise Unreadable("the batch cannot be decompressed: it ends too soon")
        payload = member.unused_data
    return bytes(found), True


def _unpacked(module: ModuleType, payload: bytes) -> tuple[bytes, bool]:
    """cramjam fills the room that it gets and then says that it is too small; how much it needs, it cannot know."""
    room = min(MOST_BYTES, _FIRST_GUESS * max(len(payload), 8_192))
    while True:
        buffer = bytearray(room)
        try:
            return bytes(buffer[: module.decompress_into(payload, buffer)]), True
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
        if room == MOST_BYTES:
            return bytes(buffer), False
        room = min(MOST_BYTES, _FIRST_GUESS * room)


def _unsnapped(payload: bytes) -> tuple[bytes, bool]:
    if not payload.startswith(_XERIAL):
        return _unsnapped_block(payload, MOST_BYTES)
    found, at = bytearray(), _XERIAL_HEADER
    while at < len(payload):
        (length,) = struct.unpack_from(">i", payload, at)
        if length <= 0:
            raise Unreadable("the batch cannot be decompressed: a block without a length")
        block, whole = _unsnapped_block(payload[at + 4 : at + 4 + length], MOST_BYTES - len(found))
        found += block
        if not whole:
            return bytes(found), False
        at += 4 + length
    return bytes(found), True


def _unsnapped_block(block: bytes, most: int) -> tuple[bytes, bool]:
    """A block says how long it is; there is no way to have only some of it."""
    if cramjam.snappy.decompress_raw_len(block) > MOST_BYTES:
        raise Unreadable(too_large())
    found = bytes(cramjam.snappy.decompress_raw(block))
    return found[:most], len(found) <= most
