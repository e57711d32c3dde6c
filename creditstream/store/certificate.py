"""Why PostgreSQL's certificate is refused: libpq says only that it is."""

import asyncio

from psycopg2.extensions import parse_dsn

from creditstream.config.tls import client_context, refusal
from creditstream.errors import StartError

#: PostgreSQL's protocol: eight bytes long, the request for TLS.
_TLS_PLEASE = bytes.fromhex("0000000804d2162f")
_WITHIN = 5.0


async def why_refused(dsn: str) -> str:
    """In words, by a handshake of our own with the first host of `dsn`."""
    parts = parse_dsn(dsn)
    name = parts.get("host", "").split(",")[0]
    address = parts.get("hostaddr", name).split(",")[0]
    authority = parts.get("sslrootcert", "")
    try:
        context = client_context("sslrootcert", "" if authority == "system" else authority)
        async with asyncio.timeout(_WITHIN):
            reader, writer = await asyncio.open_connection(address, int(parts.get("port", "5432").split(",")[0]))
            try:
                writer.write(_TLS_PLEASE)
                if await reader.readexactly(1) == b"S":
                    await writer.start_tls(context, server_hostname=name)
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError, ValueError, StartError) as error:
        return refusal(error) or "certificate verify failed"
    return "certificate verify failed"
