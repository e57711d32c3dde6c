"""Scenes that are played on a given event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

NewLoop = Callable[[], asyncio.AbstractEventLoop]
_WITHIN = 30.0


def play(new_loop: NewLoop, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """To its end, within 30 seconds."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(scene(), _WITHIN))
