"""Variables that libraries would read beside this program's settings: without effect, and named (ADR 0020)."""

import os
import sys
from collections.abc import MutableMapping

from creditstream.config.settings import PREFIX

#: What libpq takes for all that a connection string leaves open: PGHOSTADDR leads elsewhere though the string names a
#: host. The string says all there is to say.
LIBPQ = (
    *("PGAPPNAME", "PGCHANNELBINDING", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATABASE", "PGDATESTYLE", "PGGEQO"),
    *("PGGSSDELEGATION", "PGGSSENCMODE", "PGGSSLIB", "PGHOST", "PGHOSTADDR", "PGKRBSRVNAME", "PGLOADBALANCEHOSTS"),
    *("PGMAXPROTOCOLVERSION", "PGMINPROTOCOLVERSION", "PGOPTIONS", "PGPASSFILE", "PGPASSWORD", "PGPORT"),
    *("PGREQUIREAUTH", "PGREQUIREPEER", "PGREQUIRESSL", "PGSERVICE", "PGSERVICEFILE", "PGSSLCERT", "PGSSLCERTMODE"),
    *("PGSSLCOMPRESSION", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLKEY", "PGSSLMAXPROTOCOLVERSION"),
    *("PGSSLMINPROTOCOLVERSION", "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGSSLSNI", "PGSYSCONFDIR"),
    *("PGTARGETSESSIONATTRS", "PGTZ", "PGUSER"),
)
_TWICE = (
    *("BLOCKING_TIMEOUT", "CONSOLE_PORT", "DATADIR", "DEBUG", "FORCE_BLOCKING_TIMEOUT", "F_WEB_BIND", "LOOP", "STRICT"),
    *("WEB_PORT", "WEB_TRANSPORT", "WORKDIR"),
)
#: What Faust keeps of the environment when it is imported. Under `faust` it is imported before us: create_app and
#: creditstream.worker.command_line see to it that nothing comes of that.
AT_IMPORT = (*(f"{prefix}{name}" for prefix in ("FAUST_", "F_") for name in _TWICE), "DJANGO_SETTINGS_MODULE")
#: Read by Faust and what it stands on, and left alone.
HARMLESS = {
    "AIOKAFKA_NO_EXTENSIONS": "the same results from slower code",
    "NO_CYTHON": "the same results from slower code",
    "DEVLOG": "more records for a logger whose level lets none of them through",
    "TYPEXPR_DEBUG": "prints what it makes of models; there are none",
    "SHELL": "read by `completion`, which is not offered",
    "PROMETHEUS_MULTIPROC_DIR": "for instruments of prometheus_client, and ours are our own",
    "prometheus_multiproc_dir": "its old name",
    "PROMETHEUS_DISABLE_CREATED_SERIES": "for instruments of prometheus_client, and ours are our own",
    "PROMETHEUS_LEGACY_NAME_VALIDATION": "our names keep the stricter rule",
}


def set_aside(environ: MutableMapping[str, str]) -> list[str]:
    """Called once at a process's start, before Faust is imported if that can be: takes out what would have an effect.

    Returns the names of all that have none, to be warned of.
    """
    taken = [name for name in (*LIBPQ, *AT_IMPORT) if environ.pop(name, None) is not None]
    return taken + [name for name in _of_settings(environ) if name in environ]


def _of_settings(environ: MutableMapping[str, str]) -> list[str]:
    """The variables of all of Faust's settings: with the prefix that one of them can give them, and without."""
    # Not before the others are taken out, some of which it reads then.
    from faust.types.settings import Settings

    names = [str(param.env_name) for param in Settings.SETTINGS.values() if param.env_name]
    prefix = environ.get("APP_ENV_PREFIX", "").rstrip("_")
    return names + [f"{prefix}_{name}" for name in names if prefix]


def open_closed_streams() -> None:
    """Called before anything is opened, which would take the place of a standard stream that whoever started us closed.

    libuv aborts the process then, and what is printed would go into a server's connection.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - stays open


def told(names: list[str]) -> str:
    """One line for the log; no values, which may be secrets."""
    return f"{', '.join(names)}: without effect: settings are {PREFIX}… variables only (docs/reference/security.md)"
