"""PURE: what bytes that are no JSON probably are, in words for the dead letter."""

#: First bytes, and what begins so.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "it looks like gzip: set the producer's compression.type instead of compressing the value"),
    (b"\x28\xb5\x2f\xfd", "it looks like zstd: set the producer's compression.type instead of compressing the value"),
    (b"\x04\x22\x4d\x18", "it looks like lz4: set the producer's compression.type instead of compressing the value"),
    (b"\x82SNAPPY", "it looks like snappy: set the producer's compression.type instead of compressing the value"),
    (b"\xff\x06\x00\x00sNaPpY", "it looks like snappy: set the producer's compression.type instead"),
    (b"PK\x03\x04", "it looks like a zip file"),
    (b"\xac\xed\x00\x05", "it looks like a serialised Java object: use a JSON serialiser"),
    (b"Obj\x01", "it looks like an Avro file: use a JSON serialiser"),
    (b"\xff\xfe", "it looks like UTF-16: write UTF-8"),
    (b"\xfe\xff", "it looks like UTF-16: write UTF-8"),
    (b"<", "it looks like XML or HTML"),
)
#: A schema registry's serialisers write a zero byte and a schema's number in four bytes before the value.
_REGISTRY_PREFIX = 5
_MOST_SCHEMAS = 2**24


def likely_cause(raw: bytes) -> str:
    """With a colon before it, or nothing."""
    for beginning, what in _BEGINNINGS:
        if raw.startswith(beginning):
            return f": {what}"
    is_prefixed = len(raw) > _REGISTRY_PREFIX and raw[0] == 0 and int.from_bytes(raw[1:5]) < _MOST_SCHEMAS
    if is_prefixed:
        return ": it begins like a schema registry's five-byte prefix: use a serialiser that writes plain JSON"
    return ""
