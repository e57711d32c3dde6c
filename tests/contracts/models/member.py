"""A member of a group that goes through the protocol step by step, where a whole consumer would go on by itself."""

from typing import Any

from aiokafka.protocol.commit import OffsetCommitRequest_v3, OffsetFetchRequest_v3
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from tests.contracts.models.kafka import AsIs, Kafka, told


class Member:
    """One consumer's side. Times in seconds; a broker takes no session shorter than 6."""

    def __init__(self, kafka: Kafka, client: Any, group: str, session: float, rebalance: float) -> None:
        self._kafka, self._client, self.group = kafka, client, group
        self._session, self._rebalance = session, rebalance
        self.id = ""
        self.generation = -1
        self.leader = ""
        self.members: list[str] = []

    @classmethod
    async def of(cls, kafka: Kafka, group: str, *, session: float = 30.0, rebalance: float = 60.0) -> "Member":
        return cls(kafka, await kafka.client(), group, session, rebalance)

    async def ask(self, request: Any) -> Any:
        return await self._kafka.ask_of_group(self._client, self.group, request)

    async def join_once(self, metadata: bytes = b"m") -> str:
        """Returns the error's name, as all of these."""
        times = (int(self._session * 1000), int(self._rebalance * 1000))
        request = JoinGroupRequest(self.group, *times, self.id, None, "consumer", [("range", metadata)])
        answer = await self.ask(request)
        error = told(answer.error_code)
        if error in ("NoError", "MemberIdRequired"):
            self.id = answer.member_id
        if error == "NoError":
            self.generation, self.leader = answer.generation_id, answer.leader_id
            self.members = [each[0] for each in answer.members]
        return error

    async def join(self) -> str:
        """Twice, where the broker first gives a name."""
        error = await self.join_once()
        return await self.join_once() if error == "MemberIdRequired" else error

    async def sync(self, *given: "tuple[Member, str]") -> list[str]:
        """Error and assignment. The leader gives one to each."""
        assigned = [(member.id, text.encode()) for member, text in given]
        answer = await self.ask(SyncGroupRequest(self.group, self.generation, self.id, None, assigned))
        return [told(answer.error_code), answer.member_assignment.decode()]

    async def heartbeat(self, generation: int | None = None) -> str:
        of = self.generation if generation is None else generation
        return told((await self.ask(HeartbeatRequest(self.group, of, self.id))).error_code)

    async def leave(self) -> str:
        return told((await self.ask(LeaveGroupRequest(self.group, self.id))).error_code)

    async def commit(self, topic: str, offset: int, generation: int | None = None) -> str:
        of = self.generation if generation is None else generation
        return await commit(self._kafka, self._client, self.group, topic, offset, of, self.id)


async def commit(
    kafka: Kafka, client: Any, group: str, topic: str, offset: int, generation: int = -1, member: str = ""
) -> str:
    """As whoever is named, or as a tool that is in no group. Returns the error's name."""
    request = OffsetCommitRequest_v3(group, generation, member, -1, [(topic, [(0, offset, "")])])
    answer = await kafka.ask_of_group(client, group, AsIs(request))
    return told(answer.topics[0][1][0][1])


async def committed(kafka: Kafka, client: Any, group: str, topic: str) -> int:
    """-1: nothing."""
    answer = await kafka.ask_of_group(client, group, AsIs(OffsetFetchRequest_v3(group, [(topic, [0])])))
    return int(answer.topics[0][1][0][1])


async def described(kafka: Kafka, group: str) -> list[Any]:
    """State, kind of protocol, protocol, how many members, and how many of them have an assignment."""
    admin = await kafka.admin()
    [answer] = await admin.describe_consumer_groups([group])
    [(_code, _group, state, kind, protocol, members, *_)] = answer.groups
    return [state, kind, protocol, len(members), len([each for each in members if each[-1]])]
