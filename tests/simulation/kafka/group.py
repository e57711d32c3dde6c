"""A consumer group as its coordinator keeps it: generations, heartbeats, session time-outs. KIP-62 and KIP-394."""

from dataclasses import dataclass, field

from aiokafka import errors

from tests.simulation.kafka.member import Member, Reply
from tests.simulation.kafka.rebalance import OLD, REBALANCING, UNKNOWN, Rebalance

_NAME_REQUIRED = errors.MemberIdRequired.errno


@dataclass
class Group(Rebalance):
    """What its members ask. All but `join` and `sync` return the error's code."""

    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    #: Somebody has joined or committed: until then there is none.
    exists: bool = False
    #: Somebody has joined, by the protocol of consumers.
    is_of_consumers: bool = False
    _names: int = 0

    def join(self, member_id: str, member: Member, reply: Reply) -> None:
        """`member`: what it asks for, as one that nobody knows yet."""
        if not member_id:
            self.exists = self.is_of_consumers = True
            self._names += 1
            name = f"member-{self._names}"
            self.name(name, member.session)
            reply(_NAME_REQUIRED, -1, "", "", name, [])
        elif member_id in self.named:
            self.named.pop(member_id).cancel()
            self.members[member_id] = member
            self._join_next(member_id, member, reply)
        elif member_id not in self.members:
            reply(UNKNOWN, -1, "", "", member_id, [])
        else:
            self._join_again(member_id, member, reply)

    def _join_next(self, member_id: str, asked: Member, reply: Reply) -> None:
        """It will be in the next generation, which begins now if none is being made."""
        member = self.members[member_id]
        member.answer_join(UNKNOWN)
        member.joins_again(asked, reply)
        self.heard(member_id)
        self.prepare()
        self.complete_if_all_joined()

    def _join_again(self, member_id: str, asked: Member, reply: Reply) -> None:
        """It has missed an answer, unless it asks for something else; the leader may know of a reason."""
        member = self.members[member_id]
        is_same = (member.protocol, member.metadata) == (asked.protocol, asked.metadata)
        leads = self.state == "stable" and member_id == self.leader
        if self.state == "preparing" or leads or not is_same:
            self._join_next(member_id, asked, reply)
        else:
            member.joining = reply
            self.answer_joined(member_id)

    def sync(self, member_id: str, generation: int, assignments: dict[str, bytes], reply: Reply) -> None:
        member = self.members.get(member_id)
        if member is None:
            reply(UNKNOWN, b"")
        elif generation != self.generation:
            reply(OLD, b"")
        elif self.state == "preparing":
            reply(REBALANCING, b"")
        else:
            member.syncing, member.has_synced = reply, True
            if self.state == "stable":
                self.heard(member_id)
                member.answer_sync(0)
            elif member_id == self.leader:
                self.become_stable(assignments)

    def heartbeat(self, member_id: str, generation: int) -> int:
        code = self._fence(member_id, generation)
        if code:
            return code
        self.heard(member_id)
        return REBALANCING if self.state == "preparing" else 0

    def leave(self, member_id: str) -> int:
        if member_id in self.named:
            self.forget_name(member_id)
        elif member_id in self.members:
            self.remove(member_id)
        else:
            return UNKNOWN
        return 0

    def commit(self, member_id: str, generation: int, offsets: dict[tuple[str, int], int]) -> int:
        """A tool may commit in a group that nobody is in."""
        if not self.exists and generation >= 0:
            return OLD
        if generation >= 0 or self.members:
            code = self._fence(member_id, generation)
            if code:
                return code
            if self.state == "completing":
                return REBALANCING
            self.heard(member_id)
        self.exists = True
        self.committed |= offsets
        return 0

    def _fence(self, member_id: str, generation: int) -> int:
        """Nobody speaks for a generation that is over."""
        if member_id not in self.members:
            return UNKNOWN
        return OLD if generation != self.generation else 0

    def forget_members(self) -> None:
        """The coordinator has started anew: it knows what was committed, and nobody's pending request."""
        for member_id in self.members:
            self.heard(member_id)
