"""How a run shows itself: a bar on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_EVERY = 5.0


class Shown:
    """Plain lines. `say` a line; `advance` to so many records done of so many, with words about the moment."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next = 0.0

    def say(self, text: str) -> None:
        self._write(text)

    def advance(self, done: int, total: int, text: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._write(f"done {done:,} of {total:,}  {text}")


class _Bar(Shown):
    def __init__(self, bars: Progress) -> None:
        super().__init__(bars.console.print)
        self._bars = bars
        self._task = bars.add_task("", total=None, visible=False)

    def advance(self, done: int, total: int, text: str) -> None:
        self._bars.update(self._task, completed=done, total=total, description=text, visible=True)


@contextmanager
def shown() -> Iterator[Shown]:
    """By what standard output is."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield Shown(lambda text: print(text, flush=True))
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bars:
        yield _Bar(bars)
