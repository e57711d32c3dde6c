"""A real worker whose client of the group hangs once it gets SIGHUP, as aiokafka's did (docs/adr/0015).

`python -m tests.chaos.silent_worker worker`. All else goes on: fetching, producing, its web server.
"""

import asyncio
import signal
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator

from creditstream import app
from tests.chaos.put_in import put_in


def hang_at_a_signal() -> None:
    hangs = False
    send = GroupCoordinator._send_req

    def begin(*_: object) -> None:
        nonlocal hangs
        hangs = True

    async def hanging(self: GroupCoordinator, request: Any) -> Any:
        if hangs:
            await asyncio.Event().wait()
        return await send(self, request)

    put_in(GroupCoordinator, "_send_req", hanging)
    signal.signal(signal.SIGHUP, begin)


if __name__ == "__main__":
    hang_at_a_signal()
    app.main()
