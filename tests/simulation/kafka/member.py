"""One consumer as its group's coordinator keeps it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Reply = Callable[..., None]
"""Takes the fields of the answer: for a join `(code, generation, protocol, leader, member, members)`."""


@dataclass
class Member:
    """Times in seconds. `joining`, `syncing`: whom to answer when the others have done the same."""

    session: float
    rebalance: float
    protocol: str
    metadata: bytes
    assigned: bytes = b""
    joining: Reply | None = None
    syncing: Reply | None = None
    has_synced: bool = False
    expires: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """For us: it need not be heard of."""
        return self.joining is not None or self.syncing is not None

    def joins_again(self, other: "Member", reply: Reply) -> None:
        """With what it asks for now."""
        self.session, self.rebalance = other.session, other.rebalance
        self.protocol, self.metadata = other.protocol, other.metadata
        self.joining = reply

    def answer_join(self, code: int) -> None:
        reply, self.joining = self.joining, None
        if reply:
            reply(code, -1, "", "", "", [])

    def answer_sync(self, code: int) -> None:
        reply, self.syncing = self.syncing, None
        if reply:
            reply(code, self.assigned if code == 0 else b"")


def cancel(timer: Any) -> None:
    if timer is not None:
        timer.cancel()
