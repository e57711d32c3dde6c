"""The simulated risk API: deterministic scores, remembered by Idempotency-Key, and every way to fail, on demand."""

import argparse
import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import get_args

from creditstream.simulation.risk_answers import Mode
from creditstream.simulation.risk_http import HttpProtocol
from creditstream.simulation.risk_simulator import SLOW, Simulator, score_for

__all__ = ["Simulator", "main", "score_for", "serve"]

ABOUT = f"""\
The simulated risk API. An order can choose its outcome by its customer_id:
  refuse-…   is refused for good (422)
  down-…     is answered 503, always
  nofile-…   has no file at the bureau: 200, score null
  slow-…     is answered after {SLOW:g} s
POST /control changes latency_ms, error_rate, mode ({{}}), next (the next answers), orders (an order id's next
answers), model_version, rescore (a key's next score is another one); {{"reset": true}} puts everything back.
GET /journal counts the calls, GET /journal?full=1 lists each key's (when, status, score); GET /health is 200."""


@asynccontextmanager
async def serve(
    simulator: Simulator, port: int = 0, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serves in the running loop; gives the base address."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpProtocol(simulator.handle), host, port, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _run(simulator: Simulator, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serve(simulator, port, host, tls) as url:
        print(f"risk API simulator at {url}", flush=True)
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m creditstream.simulation.risk_api`: serves until SIGTERM or SIGINT."""
    import uvloop

    modes = ", ".join(get_args(Mode))
    parser = argparse.ArgumentParser(
        prog="python -m creditstream.simulation.risk_api",
        description=ABOUT.replace("{}", modes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0: any free one, printed at start")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before every answer")
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of calls answered 503, 0 to 1")
    parser.add_argument("--seed", type=int, default=7, help="of the error rate's dice")
    parser.add_argument("--certificate", help="PEM with its chain: speak TLS")
    parser.add_argument("--key", help="the certificate's, PEM")
    given = parser.parse_args(arguments)
    tls = None
    if given.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(given.certificate, given.key)
    simulator = Simulator(latency_ms=given.latency_ms, error_rate=given.error_rate, seed=given.seed)
    uvloop.run(_run(simulator, given.host, given.port, tls))


if __name__ == "__main__":
    main()
