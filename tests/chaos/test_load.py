"""The load's producers place records as those that they stand for."""

from tests.chaos.load import make_lines, partition_by_crc32, partition_by_murmur2


def test_partitioners_are_those_of_the_clients() -> None:
    """CRC-32's check value, which librdkafka's default hashes with; a value of Kafka's own UtilsTest for murmur2."""
    assert partition_by_crc32(b"123456789", 1 << 32) == 0xCBF43926
    assert partition_by_murmur2(b"foobar", 1_000) == (-790332482 & 0x7FFFFFFF) % 1_000 == 166


def test_lines_last_for_the_time_and_have_every_kind() -> None:
    lines = make_lines(rate=100, seconds=60, seed=4)
    assert 5_900 < len(lines) <= 6_000
    assert {line.kind for line in lines} == {"order", "duplicate", "conflict", "malformed"}
