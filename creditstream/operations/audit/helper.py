"""What a helper process of an audit runs: it does the tasks that it is given, one after the other.

On standard input come pickled tasks, on standard output go their progress and results. It ends with its input: when the
audit ends, or is killed.
"""

import asyncio
import gc
import os
import pickle
import struct
import sys
from typing import IO

from creditstream.operations.audit.tasks import Task

HEAD = struct.Struct("<I")
#: Progress is told about so often: once in as many records.
_TOLD_EVERY = 50_000
#: New objects between two searches for circles: there are none in millions of entries, and each is looked at.
_OBJECTS = 500_000


def main() -> None:
    """For as long as there is input."""
    gc.set_threshold(_OBJECTS)
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints does not write between the answers
    parent = os.getppid()
    while head := given.read(HEAD.size):
        task = pickle.loads(given.read(*HEAD.unpack(head)))  # noqa: S301 - our own parent's
        _answer(answers, *_done(task, answers, parent))


def _done(task: Task, answers: IO[bytes], parent: int) -> tuple[str, object]:
    left = 0

    def advance(by: int) -> None:
        nonlocal left
        left += by
        if left >= _TOLD_EVERY or by == 1:
            _answer(answers, "advance", left)
            left = 0
            if os.getppid() != parent:
                raise SystemExit(1)

    try:
        return "done", asyncio.run(task.run(advance))
    except Exception as error:  # noqa: BLE001 - the audit's to judge
        return "failed", error


def _answer(answers: IO[bytes], what: str, value: object) -> None:
    answer = pickle.dumps((what, value), pickle.HIGHEST_PROTOCOL)
    answers.write(HEAD.pack(len(answer)) + answer)
    answers.flush()
