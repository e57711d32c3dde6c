"""The page's own files, read once: a fixed list of names, each with its type, its tag, and a compressed form."""

import gzip
import mimetypes
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

_SMALLEST_COMPRESSED = 512
_TYPES = {".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml", ".ico": "image/x-icon"}


class Asset(NamedTuple):
    """`compressed` is None where it would not be smaller."""

    body: bytes
    compressed: bytes | None
    content_type: str
    tag: str


@cache
def assets() -> dict[str, Asset]:
    """By name, as in the address behind /static/."""
    return dict(_walk(files("creditstream.web") / "static", ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif not entry.name.startswith((".", "__")):
            yield prefix + entry.name, _asset(entry.name, entry.read_bytes())


def _asset(name: str, body: bytes) -> Asset:
    compressed = gzip.compress(body, mtime=0) if len(body) >= _SMALLEST_COMPRESSED else None
    if compressed and len(compressed) >= len(body):
        compressed = None
    return Asset(body, compressed, _content_type(name), f'"{blake2b(body, digest_size=8).hexdigest()}"')


def _content_type(name: str) -> str:
    ending = name[name.rfind(".") :]
    return _TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
