"""A broker that kills its caller, and a risk API that answers anything."""

import random
from collections.abc import Callable, Mapping, Sequence

from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.order.ports import Outgoing, Risk
from schemas.assessment import Assessment
from schemas.order import Order
from tests.unit.pipeline_rig import FakePublisher, scored


class Killed(BaseException):
    """kill -9: nothing that this worker had in mind happens."""


class DeadlyPublisher(FakePublisher):
    """Kills its caller before the call that `fuse` counts down to, or after it."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice, self.fuse = dice, -1

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        self.fuse -= self.fuse >= 0
        if self.fuse != 0:
            return await super().publish(topic, records)
        self.fuse = -1
        if self._dice.random() < 0.5:
            await super().publish(topic, records)
        raise Killed


class AnyAnswer(Risk):
    """Of the dice, until it `is_well`. `asked` is called first."""

    def __init__(self, dice: random.Random, asked: Callable[[Order], None]) -> None:
        self._dice, self._asked, self.is_well = dice, asked, False

    async def assess(self, order: Order) -> Assessment:
        self._asked(order)
        bad = [RiskRefused(""), RiskUnusable(""), *[RiskUnavailable("")] * 3]
        answers: list[Assessment | Exception] = [scored(700), scored(100), *bad]
        answer = answers[0] if self.is_well else self._dice.choice(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer
