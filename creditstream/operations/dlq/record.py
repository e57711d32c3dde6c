"""PURE: a record as a consumer gives it: aiokafka's, which has no types."""

from collections.abc import Sequence
from typing import Protocol


class Record(Protocol):
    """Where it stands, when it was written (milliseconds since 1970), and what is in it."""

    @property
    def topic(self) -> str: ...

    @property
    def partition(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
