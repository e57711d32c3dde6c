"""What stops the start of orders although every server is there: the circuit breaker, and limits on bad outcomes."""

import time
from collections.abc import Callable
from typing import Protocol


class Circuit(Protocol):
    """The risk API's circuit breaker: `creditstream.risk.guarded`."""

    def closed_for(self, idle: bool) -> str:
        """Why no order may start, or empty. `idle`: none is in flight, and nothing but the next one can find out."""
        ...


class Limit(Protocol):
    """How many answers without a usable score are too many: `creditstream.risk.unusable`."""

    def problem(self, now: float) -> str:
        """Why intake is stopped, or empty."""
        ...


class CountedLimit(Limit, Protocol):
    """How many dead letters are too many: `creditstream.order.dead_letter_limit`."""

    def count(self, letter: bool, now: float) -> None: ...


class Brakes:
    """Asked before each order that starts; told of each record that ends. Readiness and the page show the words."""

    def __init__(
        self,
        *,
        circuit: Circuit | None = None,
        letters: CountedLimit | None = None,
        answers: Limit | None = None,
        database: Callable[[], str] = str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`database`: why PostgreSQL is not to be written to, or empty."""
        self._circuit, self._letters, self._answers = circuit, letters, answers
        #: Why PostgreSQL is not to be written to, or empty.
        self.taken_back = database
        self._monotonic = monotonic

    def ended(self, *, letter: bool) -> None:
        """A record has ended, as a dead letter or as something else."""
        if self._letters:
            self._letters.count(letter, self._monotonic())

    def holds(self, *, idle: bool) -> bool:
        """Whether no order may start now. `idle`: none is in flight."""
        if self.problems():
            return True
        return bool(self._circuit and self._circuit.closed_for(idle))

    def problems(self) -> list[str]:
        """Why this worker takes no orders although all it needs is there; for readiness."""
        problems = (self.too_many_letters(), self.too_many_unusable(), self.taken_back())
        return [problem for problem in problems if problem]

    def too_many_letters(self) -> str:
        """Why intake is stopped by dead letters, or empty."""
        return self._letters.problem(self._monotonic()) if self._letters else ""

    def too_many_unusable(self) -> str:
        """Why intake is stopped by answers without a usable score, or empty."""
        return self._answers.problem(self._monotonic()) if self._answers else ""

    def notes(self) -> list[str]:
        """What people should see although the worker is as ready as it can be."""
        note = self._circuit.closed_for(False) if self._circuit else ""
        return [note] if note else []
