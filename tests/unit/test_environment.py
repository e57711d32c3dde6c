"""Variables that are not this program's: each one that Faust or libpq reads has no effect and is named."""

import ast
import ctypes
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust
import psycopg2
import pytest
from faust.exceptions import ImproperlyConfigured
from faust.types.settings import Settings as FaustSettings

from creditstream.config.environment import AT_IMPORT, HARMLESS, LIBPQ, set_aside
from creditstream.config.load import load_settings
from creditstream.worker.app import create_app

#: What is accepted and is another value than ours, by the kind of a setting, where the name alone does not ask for one.
_BY_KIND: dict[str, str] = {
    "Path": "elsewhere",
    "Str": "other",
    "Timezone": "America/Sao_Paulo",
    "Int": "7",
    "UnsignedInt": "77",
    "Seconds": "77",
    "BrokerList": "kafka://127.0.0.1:1",
    "Credentials": "ssl",
    "Codec": "pickle",
    "URL": "memory://elsewhere",
    "Port": "7070",
    "Severity": "CRITICAL",
}
_BY_NAME = {
    "agent_supervisor": "mode.supervisors:ForfeitOneForAllSupervisor",
    "processing_guarantee": "exactly_once",
    "id_format": "{id}-x{self.version}",
}
#: Different in each app: a function of its own, a random name that nobody uses.
_OF_THIS_APP = ("autodiscover", "reply_to")
_BY_VARIABLE = {name: param for name, param in FaustSettings.SETTINGS.items() if param.env_name}


def conf_of(app: faust.App) -> dict[str, Any]:
    """Every setting as Faust would use it; those that it warns of as it keeps them."""
    return {name: value_of(app.conf, name) for name in FaustSettings.SETTINGS if name not in _OF_THIS_APP}


def value_of(conf: Any, name: str) -> Any:
    param = FaustSettings.SETTINGS[name]
    return getattr(conf, param.storage_name if param.deprecated else name)


def other_value(name: str, ours: Any) -> str:
    if isinstance(ours, bool):
        return "0" if ours else "1"
    return _BY_NAME.get(name) or _BY_KIND[type(FaustSettings.SETTINGS[name]).__name__]


def would_change(app: faust.App, name: str, environ: dict[str, str]) -> bool:
    """Whether Faust, left to itself, would heed the variable; that it ends of it is the worst kind."""
    group, options = app._default_options
    try:
        return bool(value_of(FaustSettings(group, **{**options, "env": environ}), name) != value_of(app.conf, name))
    except ImproperlyConfigured:
        return True


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return conf_of(create_app(load_settings({})))


@pytest.mark.parametrize("name", _BY_VARIABLE)
def test_a_variable_of_fausts_changes_nothing_and_is_named(
    name: str, ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = str(_BY_VARIABLE[name].env_name)
    environ = {variable: other_value(name, ours[name])}
    monkeypatch.setenv(variable, environ[variable])
    app = create_app(load_settings({}))
    assert conf_of(app) == ours
    assert variable in set_aside(dict(os.environ))
    assert would_change(app, name, environ), "this value tries nothing"


def test_a_prefix_for_fausts_variables_opens_no_way_round(
    ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV_PREFIX", "SHOP_")
    monkeypatch.setenv("SHOP_WEB_BIND", "0.0.0.0")
    assert conf_of(create_app(load_settings({}))) == ours
    assert {"APP_ENV_PREFIX", "SHOP_WEB_BIND"} <= set(set_aside(dict(os.environ)))


def variables_read_by(package: str) -> set[str]:
    """Names of variables that a package's code asks for by name; Faust's `_getenv` tries two prefixes."""
    found: set[str] = set()
    for path in Path(str(importlib.import_module(package).__file__)).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "environ" in text or "getenv" in text else ():
            found |= set(names_asked_for(node))
    return found


def names_asked_for(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(ast.Attribute(ast.Attribute(attr="environ"), "get"), [ast.Constant(str(name)), *_]):
            yield name
        case ast.Subscript(ast.Attribute(attr="environ"), ast.Constant(str(name)), ast.Load()):
            yield name
        case ast.Call(ast.Name("_getenv"), [ast.Constant(str(name)), *_]):
            yield from (f"FAUST_{name}", f"F_{name}")
        case ast.Call(ast.Attribute(ast.Name("os"), "getenv")):
            raise AssertionError(ast.unparse(node))


def test_what_faust_reads_when_it_is_imported_is_known() -> None:
    read = variables_read_by("faust")
    assert {"FAUST_DEBUG", "F_DATADIR", "FAUST_LOOP", "NO_CYTHON", "F_F_WEB_BIND"} <= read
    read |= variables_read_by("mode") | variables_read_by("aiokafka") | variables_read_by("prometheus_client")
    assert read == set(AT_IMPORT) | set(HARMLESS), "decide of each: no effect, or harmless and why"


class _Option(ctypes.Structure):
    """`PQconninfoOption` of libpq-fe.h."""

    _fields_ = [(name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")]
    _fields_ += [("dispsize", ctypes.c_int)]


def variables_of_libpq() -> set[str]:
    """Asked of the very library that the driver has loaded."""
    assert psycopg2.__libpq_version__
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libpq" in line}
    libpq = ctypes.CDLL(loaded.pop())
    libpq.PQconndefaults.restype = ctypes.POINTER(_Option)
    found: set[str] = set()
    for option in libpq.PQconndefaults():
        if option.keyword is None:
            return found
        found |= {option.envvar.decode()} if option.envvar else set()
    raise AssertionError("unreachable")


def test_all_variables_of_libpq_are_known() -> None:
    known = variables_of_libpq()
    assert {"PGHOST", "PGHOSTADDR", "PGOPTIONS", "PGSERVICE"} <= known
    assert known <= set(LIBPQ)


@pytest.mark.parametrize("name", [*LIBPQ, *AT_IMPORT])
def test_what_others_would_read_is_taken_out(name: str) -> None:
    environ = {name: "x", "HOME": "/home/x", "CREDITSTREAM_GROUP": "g", "PGDATA": "/data"}
    assert set_aside(environ) == [name]
    assert environ == {"HOME": "/home/x", "CREDITSTREAM_GROUP": "g", "PGDATA": "/data"}


def test_what_is_harmless_is_left_alone() -> None:
    environ = dict.fromkeys((*HARMLESS, "SSL_CERT_FILE", "AWS_PROFILE", "TZ", "https_proxy"), "x")
    assert set_aside(environ) == []
    assert len(environ) == len(HARMLESS) + 4
