"""How a consumer group comes from one generation to the next, and who is out of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka import errors

from tests.simulation.kafka.member import Member, cancel

UNKNOWN: int = errors.UnknownMemberIdError.errno
OLD: int = errors.IllegalGenerationError.errno
REBALANCING: int = errors.RebalanceInProgressError.errno


@dataclass
class Rebalance:
    """State: empty, preparing (members join), completing (the leader assigns), stable."""

    loop: asyncio.AbstractEventLoop
    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    state: str = "empty"
    leader: str = ""
    #: Names that were given to whoever has not joined by them yet: waited for, as long as their session.
    named: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _deadline: asyncio.TimerHandle | None = None

    def name(self, member_id: str, session: float) -> None:
        self.named[member_id] = self.loop.call_later(session, self.forget_name, member_id)

    def forget_name(self, member_id: str) -> None:
        cancel(self.named.pop(member_id, None))
        self.complete_if_all_joined()

    def prepare(self) -> None:
        """The members are told with their next heartbeat, or now if they wait for an assignment."""
        if self.state == "preparing":
            return
        for member in self.members.values():
            member.answer_sync(REBALANCING)
        self.state = "preparing"
        self._wait(self._longest(), self._complete)

    def complete_if_all_joined(self) -> None:
        if self.state == "preparing" and not self.named and all(each.joining for each in self.members.values()):
            # as the broker, which lets others join in the same moment
            self._wait(0.01, self._complete)

    def answer_joined(self, member_id: str) -> None:
        """The leader is told of everybody."""
        member = self.members[member_id]
        known = [(name, None, each.metadata) for name, each in self.members.items()]
        reply, member.joining = member.joining, None
        self.heard(member_id)
        if reply:
            given = known if member_id == self.leader else []
            reply(0, self.generation, member.protocol, self.leader, member_id, given)

    def become_stable(self, assignments: dict[str, bytes]) -> None:
        self.state = "stable"
        for member_id, member in self.members.items():
            member.assigned = assignments.get(member_id, b"")
            if member.syncing:
                self.heard(member_id)
                member.answer_sync(0)

    def heard(self, member_id: str) -> None:
        member = self.members[member_id]
        cancel(member.expires)
        member.expires = self.loop.call_later(member.session, self._expire, member_id, member)

    def remove(self, member_id: str) -> None:
        member = self.members.pop(member_id)
        cancel(member.expires)
        member.answer_join(UNKNOWN)
        member.answer_sync(UNKNOWN)
        if not self.members:
            self._become_empty()
            return
        self.leader = self.leader if self.leader in self.members else next(iter(self.members))
        self.prepare()
        self.complete_if_all_joined()

    def _complete(self) -> None:
        """Who has not joined by now is out."""
        for member_id in [each for each, member in self.members.items() if not member.joining]:
            cancel(self.members.pop(member_id).expires)
        if not self.members:
            self._become_empty()
            return
        self.generation += 1
        self.state = "completing"
        self.leader = self.leader if self.leader in self.members else next(iter(self.members))
        for member_id in list(self.members):
            self.members[member_id].has_synced = False
            self.answer_joined(member_id)
        self._wait(self._longest(), self._expire_those_who_have_not_synced)

    def _become_empty(self) -> None:
        cancel(self._deadline)
        self.state = "empty"
        self.generation += 1

    def _expire_those_who_have_not_synced(self) -> None:
        for member_id in [each for each, member in self.members.items() if not member.has_synced]:
            if member_id in self.members:
                self.remove(member_id)

    def _expire(self, member_id: str, member: Member) -> None:
        if self.members.get(member_id) is not member:
            return
        if member.waits:
            self.heard(member_id)
        else:
            self.remove(member_id)

    def _longest(self) -> float:
        return max(member.rebalance for member in self.members.values())

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        cancel(self._deadline)
        self._deadline = self.loop.call_later(seconds, call)
