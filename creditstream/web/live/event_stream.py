"""What server-sent events look like on the wire, encoded once for all pages: plain, or as blocks of a gzip stream."""

import os
import zlib
from collections.abc import Iterable

#: A gzip stream's header: deflate, no name, no time, any system.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LEVEL = 1
PING = b": ping\n\n"
#: Milliseconds after which a page that lost its stream asks for it again; before the first event.
RETRY = b"retry: 1000\n\n"


def event(name: str, data: bytes, token: str = "") -> bytes:
    """One event. `data` is one line."""
    place = f"id: {token}\n" if token else ""
    return f"{place}event: {name}\n".encode() + b"data: " + data + b"\n\n"


def status_events(sent: Iterable[tuple[str, bytes]]) -> bytes:
    """The events of changes, each with the token that resumes behind it."""
    return b"".join([b"id: %b\nevent: status\ndata: %b\n\n" % (token.encode(), data) for token, data in sent])


class Form:
    """A block as pages of one kind get it. It is a file in memory, too: the kernel sends that without copying it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._file = _in_memory(data)

    def send(self, connection: int) -> int:
        """Give the kernel what that socket takes at once. Returns how many bytes; raises OSError when it is gone."""
        if self._file is None:
            return 0
        try:
            return os.sendfile(connection, self._file, 0, len(self.data))
        except BlockingIOError:
            return 0

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


def _in_memory(data: bytes) -> int | None:
    """None where there are no such files (macOS), or no more of them: then it is written as anything else."""
    try:
        file = os.memfd_create("block", os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        return None
    os.write(file, data)
    return file


class Block:
    """A piece of the stream in each form that some page wants; each is made once, when the first page wants it."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._forms: dict[tuple[bool, bool], Form] = {}

    def form(self, gzip: bool, chunked: bool) -> Form:
        form = self._forms.get((gzip, chunked))
        if form is None:
            body = _deflated(self._text) if gzip else self._text
            form = Form(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
            self._forms[gzip, chunked] = form
        return form


def _deflated(text: bytes) -> bytes:
    """Blocks of a deflate stream that look back at nothing before them: they fit behind any others, in any stream."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
