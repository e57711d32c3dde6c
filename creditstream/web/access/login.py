"""PURE: who may look. One token of the deployment; a browser trades it for a session, which any worker understands."""

import hashlib
import hmac
import secrets
from collections.abc import Callable

from creditstream.config.secret import Secret

COOKIE = "creditstream_session"
SESSION_SECONDS = 12 * 3600
"""A working day. A session is not stored: it ends then, or for all when the token is changed."""


class Login:
    """`now` in seconds since 1970."""

    def __init__(self, token: Secret, new_name: Callable[[], str] = lambda: secrets.token_urlsafe(12)) -> None:
        self._token = hashlib.sha256(token.reveal().encode()).digest()
        self._key = hmac.digest(token.reveal().encode(), b"creditstream session", "sha256")
        self._new_name = new_name

    def accepts(self, token: str) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(hashlib.sha256(token.encode(errors="replace")).digest(), self._token)

    def new_session(self, now: float) -> str:
        """The cookie's value: an end, a name, and a signature that only who knows the token can make."""
        claim = f"{int(now) + SESSION_SECONDS}.{self._new_name()}"
        return f"{claim}.{self._sign(claim)}"

    def session_end(self, cookie: str, now: float) -> float | None:
        """When the session ends; None when it is none or over."""
        claim, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign(claim).encode()):
            return None
        end = float(claim.partition(".")[0])  # signed: it is a number
        return end if now < end else None

    def _sign(self, claim: str) -> str:
        return hmac.digest(self._key, claim.encode(errors="replace"), "sha256").hex()
