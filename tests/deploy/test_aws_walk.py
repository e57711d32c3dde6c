"""docs/how-to/aws.md from an AWS account to the first order: each command is run, up to what would reach AWS."""

import asyncio
import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from creditstream.config.load import load_settings
from creditstream.config.settings import PREFIX, Settings
from creditstream.config.tls import client_context
from creditstream.simulation.risk_api import serve
from creditstream.simulation.risk_simulator import Simulator
from deploy.aws import costs
from deploy.aws.template import templates
from schemas.order import decode_order
from tests.support.helm import CHART, SIZES
from tests.support.walk import Walk, commands

_RISK = "risk-api.creditstream.svc"


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(tmp_path_factory.mktemp("walk"))


def values(walk: Walk) -> dict[str, Any]:
    """The chart's, as helm puts the two files together."""
    [install] = walk.to("helm", "install", "creditstream", "deploy/helm/creditstream")
    files = [after for word, after in zip(install.arguments, install.arguments[1:], strict=False) if word == "--values"]
    merged: dict[str, Any] = {}
    for file in files:
        _merge(merged, yaml.safe_load((walk.folder / file).read_text()))
    return merged


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def test_the_program_accepts_the_settings_and_the_secrets(walk: Walk, tmp_path: Path) -> None:
    given = values(walk)
    [created] = walk.to("kubectl", "create", "secret", "generic", "creditstream")
    assert {one["secret"] for one in given["secrets"].values()} == {"creditstream"}
    environ = {f"{PREFIX}{name.upper()}": str(value) for name, value in given["settings"].items()}
    for name, one in given["secrets"].items():
        (tmp_path / name).write_text(created.files[one["key"]])
        environ[f"{PREFIX}{name.upper()}_FILE"] = str(tmp_path / name)
    for name in set(given["files"]) - {"postgres_ca"}:
        environ[f"{PREFIX}{name.upper()}"] = f"/etc/creditstream/{name}"
    settings = load_settings({**environ, f"{PREFIX}WEB_BIND": "0.0.0.0"})
    assert settings.kafka_sasl_mechanism == "AWS_MSK_IAM" and not settings.allow_plaintext
    assert "sslrootcert=/etc/creditstream/postgres_ca" in settings.postgres_dsn.reveal()
    assert settings.kafka_replication_factor == Settings().kafka_replication_factor
    assert set(created.files) == {one["key"] for one in given["secrets"].values()}, "no secret that nobody reads"


def test_the_numbers_are_those_of_the_size(walk: Walk) -> None:
    given, need = values(walk), costs.needs("50")
    assert (given["replicas"], given["settings"]["partitions"]) == (need.workers, need.partitions)
    assert given["persistence"]["size"] == need.claim


def test_the_chart_takes_the_values(walk: Walk) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    _merge(defaults, values(walk))
    jsonschema.validate(defaults, json.loads((CHART / "values.schema.json").read_text()))


def test_what_is_asked_of_the_stack_is_in_it(walk: Walk) -> None:
    root, names = templates()["creditstream.yaml"], json.dumps(templates())
    assert set(re.findall(r"\$\(output (\w+)\)", commands())) <= set(root["Outputs"])
    assert set(re.findall(r"secret (\w[\w-]+)\)", commands())) >= {"postgres", "redis", "web-token", "risk-api-key"}
    for secret in re.findall(r"(?:\$\(secret |^  secret )([\w-]+)", commands(), flags=re.MULTILINE):
        assert f'"${{Name}}/{secret}"' in names, secret
    [deploy] = walk.to("aws", "cloudformation", "deploy")
    given = dict(one.split("=", 1) for one in deploy.arguments[deploy.arguments.index("--parameter-overrides") + 1 :])
    for name, value in given.items():
        declared = root["Parameters"][name]
        assert re.search(declared.get("AllowedPattern", ""), value)
        assert value in declared.get("AllowedValues", [value])


def test_service_accounts_are_those_that_have_a_role(walk: Walk) -> None:
    roles = templates()["roles.yaml"]["Resources"].values()
    bound = [one["Properties"] for one in roles if one["Type"] == "AWS::EKS::PodIdentityAssociation"]
    assert {one["ServiceAccount"] for one in bound} == {"creditstream", "creditstream-operations", "producer"}
    [namespace] = walk.to("kubectl", "create", "namespace")
    assert {one["Namespace"] for one in bound} == {namespace.arguments[-1]}
    [producer] = walk.to("kubectl", "create", "serviceaccount")
    assert producer.arguments[-1] == "producer"


def test_manifests_are_whole_and_run_what_was_pushed(walk: Walk) -> None:
    [push] = walk.to("docker", "push")
    kinds = {one["kind"]: one for one in walk.manifests()}
    assert set(kinds) == {"StorageClass", "Job", "Deployment", "Service"}
    for kind in ("Job", "Deployment"):
        pod = kinds[kind]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert container["image"] == push.arguments[-1]
        assert container["securityContext"]["readOnlyRootFilesystem"] is pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert kinds["StorageClass"]["parameters"]["encrypted"] == "true"
    given = values(walk)
    assert given["persistence"]["storageClass"] == kinds["StorageClass"]["metadata"]["name"]
    assert f"{given['image']['repository']}:{given['image']['tag']}" == push.arguments[-1]


def test_secrets_never_stand_on_a_command_line(walk: Walk) -> None:
    text = json.dumps([one.arguments for one in walk.calls])
    assert "GeneratedGenerated" not in text and "AdminAdmin" not in text
    [role] = walk.to("kubectl", "create", "secret", "generic", "database-role")
    assert role.files == {"admin": "AdminAdminAdminAdminAdmin1", "program": "GeneratedGeneratedGenerated2"}


def test_the_order_is_one(walk: Walk) -> None:
    [sent] = [one for one in walk.calls if "--topic" in one.arguments]
    [asked] = [one for one in walk.to("curl") if "/orders/" in one.arguments[-1]]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    order = decode_order(sent.input.strip().encode(), latest=tomorrow, max_bytes=Settings().order_max_bytes)
    assert asked.arguments[-1].endswith(f"/orders/{order.order_id}")
    assert asked.input == "Authorization: Bearer GeneratedGeneratedGenerated2"


def test_the_simulated_apis_certificate_is_believed(walk: Walk) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(walk.folder / "risk.pem", walk.folder / "risk.key")

    async def ask() -> bytes:
        async with serve(Simulator(), tls=tls) as url:
            port = int(url.rpartition(":")[2])
            context = client_context("X", str(walk.folder / "risk.pem"))
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=_RISK)
            writer.write(f"GET /health HTTP/1.1\r\nHost: {_RISK}\r\n\r\n".encode())
            line = await reader.readline()
            writer.close()
            return line

    assert values(walk)["settings"]["risk_url"] == f"https://{_RISK}"
    assert asyncio.run(ask()).startswith(b"HTTP/1.1 200")


def test_sizes_and_document_say_what_the_arithmetic_says() -> None:
    document = costs.DOCUMENT.read_text()
    assert costs.filled(document) == document, "run python -m deploy.aws.costs --write"
    for size, name in zip(costs.SIZES, SIZES, strict=True):
        need, has = costs.needs(size), costs.has(size)
        chart = yaml.safe_load((CHART / f"values-{name}.yaml").read_text())
        assert (chart["replicas"], chart["settings"]["partitions"]) == (need.workers, need.partitions)
        assert chart["persistence"]["size"] == need.claim
        assert has["DatabaseDisk"] >= need.database_disk and has["BrokerDisk"] >= need.broker_disk
        assert max(has["DatabaseIops"], costs.included_iops(has["DatabaseDisk"])) >= need.iops
        assert abs(has["DatabaseFloor"] / (has["DatabaseDisk"] * 2**30) - 0.1) < 0.001
        assert need.partitions >= need.workers and has["Nodes"] % 3 == 0
