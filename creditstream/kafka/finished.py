"""PURE: a compact set of offsets: one bit each, in chunks. A million of them behind one that waits cost 300 KB."""

_BITS = 512


class Finished:
    """Offsets of one partition that are done, from a position on that only grows."""

    __slots__ = ("_chunks", "_first")

    def __init__(self) -> None:
        self._chunks: dict[int, int] = {}
        #: The chunk of the position: no offset lies in an earlier one.
        self._first = 0

    def __bool__(self) -> bool:
        """False: there is certainly none."""
        return bool(self._chunks)

    def add(self, offset: int) -> bool:
        """Whether it was not there before."""
        chunk, bit = divmod(offset, _BITS)
        before = self._chunks.get(chunk, 0)
        after = self._chunks[chunk] = before | 1 << bit
        return after != before

    def end_of_run(self, position: int) -> int:
        """The first offset from `position` on that is not there. The chunks before it are forgotten."""
        while True:
            chunk, bit = divmod(position, _BITS)
            if chunk != self._first:
                self._chunks.pop(self._first, None)
                self._first = chunk
            bits = self._chunks.get(chunk, 0) >> bit
            if not bits & 1:
                return position
            run = (~bits & bits + 1).bit_length() - 1  # how many of its lowest bits are set
            position += run
            if bit + run < _BITS:
                return position
