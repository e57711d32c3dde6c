"""The audit's temporary files: in the worker's data directory, gone when it is over, or when the next one begins."""

import errno
import fcntl
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Self
from zlib import crc32

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.operations.audit.entries import BUCKETS, KINDS

_PREFIX = "audit-"
_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_LOCK = "lock"
#: Bytes that a bucket holds back before it writes: 16 MB for all buckets of a kind, 26,000 writes for 10^7 orders.
_HELD_BACK = 65_536


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """A folder of this audit's own. What an audit that was killed has left is removed. Raises StartError.

    An OSError inside, such as a full disk, is a StartError.
    """
    directory = Path(settings.data_dir)
    with _in_one_line(directory):
        directory.mkdir(parents=True, exist_ok=True)
        remove_leftovers(directory)
        folder = Path(mkdtemp(prefix=_PREFIX, dir=directory))
        try:
            with (folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(directory: Path) -> None:
    """Folders whose audit holds no lock on them any more."""
    for folder in directory.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError, BlockingIOError), (folder / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _in_one_line(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno not in _OF_A_DISK:  # of a connection, say
            raise
        raise StartError(
            f"the audit's temporary files in {directory} (CREDITSTREAM_DATA_DIR): {error.strerror}; it needs "
            "200 bytes an order there"
        ) from error


class Spill:
    """Entries of one kind on their way to their buckets' files. Several processes may write, each under its name.

    Buckets are by a hash: ids that a clock or a counter made have equal beginnings or ends.
    """

    def __init__(self, folder: Path, kind: str, name: str) -> None:
        self._folder, self._kind, self._name = folder, kind, name
        self._held = [bytearray() for _ in range(BUCKETS)]
        self._pack = KINDS[kind].pack

    def add(self, order_id: bytes, *fields: object) -> None:
        bucket = crc32(order_id) % BUCKETS
        held = self._held[bucket]
        held += self._pack(order_id, *fields)
        if len(held) > _HELD_BACK:
            self._write(bucket)

    def _write(self, bucket: int) -> None:
        held = self._held[bucket]
        with (self._folder / f"{_stem(self._kind, bucket)}.{self._name}").open("ab") as file:
            file.write(held)
        held.clear()

    def close(self) -> None:
        """Everything is in its file."""
        for bucket, held in enumerate(self._held):
            if held:
                self._write(bucket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Shelf:
    """What is in the folder when everybody has written."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, list[Path]] = defaultdict(list)
        for file in sorted(folder.iterdir()):
            self._files[file.stem].append(file)

    def entries(self, bucket: int) -> dict[str, bytes]:
        """All entries of one bucket, by their kind: each writer's in the order in which it wrote them."""
        return {
            kind: b"".join(file.read_bytes() for file in self._files.get(_stem(kind, bucket), ())) for kind in KINDS
        }


def _stem(kind: str, bucket: int) -> str:
    return f"{kind}-{bucket:03}"
