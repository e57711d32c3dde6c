"""`python scripts/chart.py`: what the Helm chart has from elsewhere: version, settings, alerts."""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from creditstream.config.settings import Settings, secret_names
from devtools.programs import ROOT

_CHART = ROOT / "deploy" / "helm" / "creditstream"
#: A chart sees no file outside its folder, and a link would be a warning at each use of it: copies.
_COPIES = {_CHART / "rules" / name: ROOT / "deploy" / "prometheus" / name for name in ("alerts.yml", "recording.yml")}
#: A pod's own, which the chart sets.
_CHARTS = {"data_dir", "web_port", "web_bind", "web_host"}
#: A DSN's `sslrootcert` names it; no setting does.
_MORE_FILES = {"postgres_ca": "PostgreSQL's authority, for sslrootcert=/etc/creditstream/postgres_ca in a DSN"}
_TYPES: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "pattern": "pattern",
    "min_length": "minLength",
}


def parts() -> dict[str, dict[str, Any]]:
    """The properties of the chart's `settings`, `secrets` and `files`: what may stand in each."""
    hints = get_type_hints(Settings, include_extras=True)
    found: dict[str, dict[str, Any]] = {"settings": {}, "secrets": {}, "files": {}}
    for name in sorted(set(Settings.__struct_fields__) - _CHARTS):
        kind, meta = get_args(hints[name])
        about = {"description": meta.description}
        if name in secret_names():
            found["secrets"][name] = {"$ref": "#/definitions/secret", **about}
        elif meta.extra["unit"] == "path":
            found["files"][name] = {"$ref": "#/definitions/file", **about}
        else:
            found["settings"][name] = {**_shape(kind, meta), **about}
    more = {name: {"$ref": "#/definitions/file", "description": about} for name, about in _MORE_FILES.items()}
    found["files"].update(more)
    return found


def generated() -> dict[Path, str]:
    """What each of the chart's generated files should hold."""
    copies = {copy: source.read_text(encoding="utf-8") for copy, source in _COPIES.items()}
    return {_CHART / "values.schema.json": _schema(), _CHART / "Chart.yaml": _chart(), **copies}


def _schema() -> str:
    schema = json.loads((_CHART / "values.schema.json").read_text(encoding="utf-8"))
    for part, properties in parts().items():
        schema["properties"][part]["properties"] = properties
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _chart() -> str:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = (_CHART / "Chart.yaml").read_text(encoding="utf-8")
    return re.sub(r"^(version|appVersion): .*$", rf'\1: "{version}"', text, flags=re.MULTILINE)


def _shape(kind: object, meta: msgspec.Meta) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    bounds = {word: getattr(meta, bound) for bound, word in _BOUNDS.items() if getattr(meta, bound) is not None}
    return {"type": _TYPES[kind], **bounds}


if __name__ == "__main__":
    for path, content in generated().items():
        path.write_text(content, encoding="utf-8")
    sys.exit(0)
