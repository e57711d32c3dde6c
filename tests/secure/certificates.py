"""Certificates for one test run: an authority, servers' certificates good and bad, a client's, and a stranger."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_HERE = ("127.0.0.1", "localhost")


class Pair(NamedTuple):
    """PEM files: the certificate, its key, and both in one, as Kafka takes them."""

    certificate: Path
    key: Path
    both: Path


class Certificates:
    """`server`, `expired` and `elsewhere` (another host's) are of the authority in `ca`; `other_ca` knows none."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        self.other_ca = folder / "other-ca.pem"
        trustme.CA().cert_pem.write_to_path(str(self.other_ca))
        self.server = self._issue("server", *_HERE)
        self.expired = self._issue("expired", *_HERE, not_after=_LONG_AGO)
        self.elsewhere = self._issue("elsewhere", "elsewhere.example")
        self.client = self._issue("client", "worker.example")

    def _issue(self, name: str, *identities: str, not_after: datetime | None = None) -> Pair:
        issued = self._authority.issue_cert(*identities, not_before=_LONG_AGO.replace(year=2019), not_after=not_after)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        # PKCS 8: the only spelling of a key that Kafka reads.
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        files = Pair(*(self._folder / f"{name}.{end}" for end in ("crt", "key", "pem")))
        for file, content in zip(files, (chain, key_pem, key_pem + chain), strict=True):
            file.touch(mode=0o600)
            file.write_bytes(content)
        return files
