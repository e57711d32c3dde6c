"""What a run leaves behind, and what the verifier says about it: plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

#: Each fault kind shows its first examples; the count is of all.
_EXAMPLES = 20

#: What becomes of an order whose customer the risk API has no file of, and how such customers' ids begin.
NO_USABLE_ANSWER = "no_usable_answer"
NO_FILE = "nofile-"
#: Of the simulated risk API, during the whole run.
MODEL_VERSION = "simulated-1"

#: Seconds since 1970, from and until.
Window = tuple[float, float]


class Rule(NamedTuple):
    """Of a policy, for one product: the lowest score that is approved, and the largest amount."""

    approve_from: int
    max_amount: Decimal


#: Rules by a policy's version and by product; "": for all others.
Policies = Mapping[str, Mapping[str, Rule]]


class Sent(NamedTuple):
    """What a producer of the run sent. `place`: partition and offset, where the producer was told."""

    kind: str
    value: bytes
    place: tuple[int, int] | None = None


class Logged(NamedTuple):
    """A record that a topic holds, or held. `era`: how often growth was tried before it was written."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]
    era: int = 0


class Call(NamedTuple):
    """One call in the risk API's own journal. `score`: None when none was given."""

    at: float
    status: int
    score: int | None


class Operation(NamedTuple):
    """A documented command that ended well: after how many tries and seconds, and its last line."""

    name: str
    tries: int
    seconds: float
    said: str


@dataclass
class Purpose:
    """What commands took away on purpose. `dropped`: orders whose month is gone, `expired`: those of them whose id is
    gone too, `forgotten`: customers."""

    dropped: set[UUID] = field(default_factory=set)
    expired: set[UUID] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)


@dataclass
class Books:
    """Everything that a run left behind. `rows` as PostgreSQL gives them, by column.

    `begins`: where each partition of `order-status` begins now; `statuses` also holds what growth has removed.
    """

    sent: list[Sent]
    orders: list[Logged]
    letters: list[Logged]
    statuses: list[Logged]
    keys: list[UUID]
    rows: list[dict[str, Any]]
    calls: dict[str, list[Call]]
    begins: Mapping[int, int] = field(default_factory=dict)
    purpose: Purpose = field(default_factory=Purpose)


@dataclass
class Allowed:
    """What I6 grants: orders in flight at `disruptions` may be asked about again, and answers may have been lost.

    So may an undecided order whose last call was `attempt_timeout` seconds ago: on a slow machine that is a retry.
    """

    disruptions: Sequence[Window] = ()
    lost_answers: Sequence[Window] = ()
    attempt_timeout: float = float("inf")


@dataclass
class Verdict:
    """Counts of what came out, and of what must be 0. `faults`: examples by kind."""

    records: int = 0
    orders: int = 0
    duplicates: int = 0
    conflicts: int = 0
    malformed: int = 0
    lost: int = 0
    misjudged: int = 0
    misdecided: int = 0
    duplicated: int = 0
    divergent: int = 0
    version_back: int = 0
    orphans: int = 0
    undecided: int = 0
    extra_calls: int = 0
    allowed_calls: int = 0
    excess_calls: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    #: Each is a broken invariant: I1, I1, a decision that is not the policy's, I2, I2, I4, I4, no decision, I6.
    FAULTS: ClassVar[tuple[str, ...]] = (
        "lost",
        "misjudged",
        "misdecided",
        "duplicated",
        "divergent",
        "version_back",
        "orphans",
        "undecided",
        "excess_calls",
    )

    @property
    def clean(self) -> bool:
        return not any(getattr(self, fault) for fault in self.FAULTS)

    def fault(self, kind: str, example: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        shown = self.examples.setdefault(kind, [])
        if len(shown) < _EXAMPLES:
            shown.append(example)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean}
