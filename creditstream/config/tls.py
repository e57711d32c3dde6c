"""TLS as a client: the context with which certificates are checked, and in plain words why one was refused."""

import asyncio
import re
import ssl

from creditstream.errors import StartError

#: For a handshake that only looks: a server that takes longer is another check's affair.
_PROBE_WITHIN = 5.0

#: OpenSSL's words for what a restart of the other side would not mend: a client certificate, a port without TLS.
_FOR_GOOD = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)|WRONG_VERSION_NUMBER")


def client_context(setting: str, cafile: str, certfile: str = "", keyfile: str = "") -> ssl.SSLContext:
    """Checks the server's chain and name. `setting`: the variables' common beginning. Raises StartError naming one.

    The files are read here, once: after their rotation the worker is to be restarted.
    """
    try:
        context = ssl.create_default_context(cafile=cafile or None)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"{setting}_CAFILE={cafile}: not a readable CA file ({_reason(error)})") from None
    try:
        if certfile:
            # A password would be asked for at the terminal; nobody sits there.
            context.load_cert_chain(certfile, keyfile or None, password=lambda: "")
    except (OSError, ValueError) as error:
        what = f"{setting}_CERTFILE={certfile} and {setting}_KEYFILE={keyfile or 'empty'}"
        raise StartError(f"{what}: not a certificate and its key ({_reason(error)})") from None
    return context


def refusal(error: BaseException | None) -> str | None:
    """Why TLS failed for good, if that is what stands behind `error`: repeating it would not help."""
    while error is not None:
        # Not by their classes: aiohttp's errors are of these too, without the words; the real ones stand behind them.
        message, reason = getattr(error, "verify_message", None), getattr(error, "reason", None)
        if message:
            return f"its certificate is refused: {message.rstrip('.')}"
        if isinstance(reason, str) and _FOR_GOOD.search(reason):
            return f"TLS fails: {reason.lower().replace('_', ' ')}"
        error = error.__cause__ or error.__context__
    return None


async def refused(host: str, port: int, context: ssl.SSLContext) -> str | None:
    """Why the server there is refused, by a handshake. None: it is not, or nobody answers."""
    try:
        async with asyncio.timeout(_PROBE_WITHIN):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError) as error:
        return refusal(error)
    writer.close()
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
