"""The schemas of Kubernetes' own resources (package kubernetes-validate) and of KEDA's and the Prometheus operator's
(their Go modules), closed: a field that they do not know is an error, where a cluster would silently drop it."""

import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.support.shelf import GoModule, Wheel, on_shelf

_SCHEMAS = Wheel("kubernetes-validate", "1.37.0", "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9")
_FOLDER = "kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/"
_SHARED = "/api/_definitions.json"
_KEDA = GoModule("github.com/kedacore/keda/v2", "v2.17.2", "h1:xlrcK5TKABJF9PebK79sgL07s/csGjL3H4m72OkZXxk=")
_OPERATOR = GoModule(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
)
_DEFINITIONS = {
    "ScaledObject": (_KEDA, "/config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (_KEDA, "/config/crd/bases/keda.sh_triggerauthentications.yaml"),
    "ServiceMonitor": (_OPERATOR, "/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    "PrometheusRule": (_OPERATOR, "/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
}


def violations(manifest: dict[str, Any], version: str) -> list[str]:
    """What Kubernetes `version` ("1.35") would not take, a line for each."""
    kind, api = manifest["kind"], manifest["apiVersion"]
    validator = _custom(kind, api) if kind in _DEFINITIONS else _built_in(kind, api, version)
    return [f"{kind} {error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


@cache
def _built_in(kind: str, api: str, version: str) -> Draft202012Validator:
    group, _, api_version = api.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], api_version)))
    return Draft202012Validator(_schema(name, version), registry=_registry(version))


@cache
def _registry(version: str) -> Registry[Any]:
    shared = DRAFT202012.create_resource(_schema("_definitions", version))
    # Crawled once here, instead of at each reference.
    registry: Registry[Any] = Registry().with_resource(_SHARED, shared)
    return registry.crawl()


def _schema(name: str, version: str) -> dict[str, Any]:
    folder = on_shelf(f"kubernetes-{version}", lambda part: _unpack(version, part))
    schema: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return schema


def _unpack(version: str, part: Path) -> None:
    """Only this version: to open the package costs a second, as it has 17,000 files."""
    part.mkdir()
    with zipfile.ZipFile(_SCHEMAS.path()) as wheel:
        for name in wheel.namelist():
            if name.startswith(_FOLDER.format(version=version)):
                (part / name.rpartition("/")[2]).write_bytes(wheel.read(name))


@cache
def _custom(kind: str, api: str) -> Draft202012Validator:
    definition = json.loads(on_shelf(f"{kind}.json", lambda part: _convert(kind, part)).read_text())["spec"]
    [schema] = [
        version["schema"]["openAPIV3Schema"]
        for version in definition["versions"]
        if f"{definition['group']}/{version['name']}" == api
    ]
    return Draft202012Validator(_closed(schema))


def _convert(kind: str, part: Path) -> None:
    module, suffix = _DEFINITIONS[kind]
    with zipfile.ZipFile(module.path()) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(suffix)]
        part.write_text(json.dumps(yaml.safe_load(archive.read(name))))


def _closed(schema: Any) -> Any:
    """`schema` with every object that lists its properties closed to others."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    lists = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
    if lists and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed
