"""What is asked of the forker, and what it tells: one message for each start, one pipe for each program."""

import struct
from collections.abc import Mapping
from typing import NamedTuple

#: On a program's pipe: its process id once it runs, and how it ended (as os.waitpid says it).
NUMBER = struct.Struct("i")
#: Of a message, bytes: an environment and the arguments.
LARGEST = 200_000


class Order(NamedTuple):
    """`python -m MODULE ARGUMENTS`, with that environment, in that folder."""

    module: str
    arguments: list[str]
    environ: Mapping[str, str]
    folder: str
