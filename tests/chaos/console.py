"""Kafka's own console producer, which people type into: it gives no receipts and has no keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

#: How soon a producer of a run hears of new partitions: Kafka's five minutes are longer than most runs.
NEWS_EVERY_MS = 3_000
_ENDS_WITHIN = 90.0


class Console:
    """One that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def type(self, value: bytes) -> bool:
        """False: it has given up."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(value + b"\n")
            await self._process.stdin.drain()
        except OSError:
            return False
        return True

    async def end(self) -> None:
        """Once all that was typed is sent, or it takes too long for that."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def console_producer(tool: Path, brokers: str, topic: str) -> AsyncIterator[Console]:
    """Ended with the context at the latest."""
    # Its own three retries would be used up in half a second of a broker's restart.
    patience = ["--message-send-max-retries", "100000", "--max-block-ms", "120000"]
    patience += ["--metadata-expiry-ms", str(NEWS_EVERY_MS)]
    process = await asyncio.create_subprocess_exec(
        *(str(tool), "--bootstrap-server", brokers, "--topic", topic, "--timeout", "10"),
        *patience,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Console(process)
    finally:
        if process.returncode is None:
            process.kill()
