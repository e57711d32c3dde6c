"""Plays one scenario: what is seen, or what went wrong."""

import asyncio
from typing import Any

from tests.contracts.models.scenarios import Scenario, Seen


async def outcome(scenario: Scenario, server: Any, within: float) -> Seen:
    """Raises nothing: an error is something that was seen. `within`: seconds."""
    try:
        return await asyncio.wait_for(scenario.play(server), within)
    except Exception as error:  # noqa: BLE001 - it is told, and compared with what is right
        return [f"{type(error).__name__}: {error}"]
