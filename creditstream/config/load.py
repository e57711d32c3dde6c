"""The settings of a process: read from its environment, checked, or refused in one line."""

import os
from collections.abc import Mapping

import msgspec

from creditstream.config import checks
from creditstream.config.secret import Secret
from creditstream.config.settings import PREFIX, Settings, secret_names
from creditstream.errors import StartError


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in `environ` (default: the process's). Raises StartError naming the bad or unknown variable."""
    environ = os.environ if environ is None else environ
    texts = {name[len(PREFIX) :].lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    given = _with_secrets(texts)
    unknown = sorted(set(given) - set(Settings.__struct_fields__))
    if unknown:
        raise StartError(f"unknown setting {PREFIX}{unknown[0].upper()}: docs/reference/settings.md lists them all")
    try:
        settings = msgspec.convert(given, Settings, strict=False, dec_hook=lambda wanted, value: value)
    except msgspec.ValidationError as error:
        raise StartError(_name_variable(str(error))) from None
    checks.check(settings)
    return settings


def _with_secrets(texts: dict[str, str]) -> dict[str, str | Secret]:
    given: dict[str, str | Secret] = dict(texts)
    for name in secret_names():
        given.pop(f"{name}_file", None)
        variable, file = f"{PREFIX}{name.upper()}", texts.get(f"{name}_file", "")
        if file and texts.get(name):
            raise StartError(f"{variable} and {variable}_FILE are both set: leave one out")
        try:
            if file:
                given[name] = Secret(file=file)
            elif name in texts:
                given[name] = Secret(texts[name])
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is empty, or no text"
            raise StartError(f"{variable}_FILE={file}: cannot be read: {reason}") from None
    return given


def _name_variable(message: str) -> str:
    what, _, where = message.partition(" - at `$.")
    if where:
        return f"bad setting {PREFIX}{where.rstrip('`').upper()}: {what[0].lower()}{what[1:]}"
    for name in Settings.__struct_fields__:
        if what.startswith(name):
            return f"bad setting {PREFIX}{name.upper()}: {what}"
    return f"bad settings: {what}"
