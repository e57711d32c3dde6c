"""What the chart's pods are told, against the program: settings, files, probes, commands, time to end, image."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from creditstream.config.load import load_settings
from creditstream.config.settings import PREFIX, Settings, secret_names
from creditstream.errors import StartError
from creditstream.version import VERSION
from creditstream.web import health
from devtools.programs import clean_environ
from tests.chaos.rig import STOPS_WITHIN
from tests.deploy.variants import CASES, manifests, walk
from tests.support.helm import Manifest, of_kind, pods
from tests.support.servers import ROOT

each_case = pytest.mark.parametrize("case", CASES)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRETS = "/run/secrets/creditstream"
FILES = "/etc/creditstream"
#: What stands in the users' Secrets.
CONTENTS = {
    "postgres_dsn": f"postgresql://app:f3Wq9@db.example.com/c?sslmode=verify-full&sslrootcert={FILES}/postgres_ca",
    "postgres_replica_dsn": "postgresql://app:f3Wq9@replica.example.com/c?sslmode=verify-full&sslrootcert=system",
    "redis_url": "rediss://app:f3Wq9@cache.example.com:6379/0",
    "kafka_sasl_password": "f3Wq9",
    "risk_api_key": "f3Wq9",
    "web_token": "f3Wq9f3Wq9f3Wq9f3Wq9",
}


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """The routes that a worker serves and the commands that there are, asked of the program itself."""
    ask = (
        "import json, creditstream.operations.commands as c\n"
        "from creditstream import app\n"
        "print(json.dumps({'routes': [r.canonical for r in app.web.web_app.router.resources()],"
        "'commands': [k.__name__ for k in c._Command.__subclasses__()]}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], env=clean_environ(), capture_output=True, text=True, timeout=300, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def containers(case: str) -> list[tuple[str, Manifest, Manifest]]:
    """Component, pod spec and container of each container that there will be."""
    return [
        (component, pod["spec"], container)
        for component, pod in pods(manifests(case))
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
    ]


def environ(container: Manifest) -> dict[str, str]:
    """With what Kubernetes puts in for `$(POD_NAME)` and the like."""
    given = {"POD_NAME": "creditstream-0", "POD_NAMESPACE": "orders", "HOST_IP": "10.0.0.9"}
    plain = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    assert len(plain) + 3 == len(container["env"]), "nothing but the three comes from elsewhere"
    return {name: re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], value) for name, value in plain.items()}


def mounted(pod: Manifest, container: Manifest) -> dict[str, Manifest]:
    """Path in the container: the item of a projected volume that stands there."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    found = {}
    for mount in container["volumeMounts"]:
        for source in volumes.get(mount["name"], {}).get("projected", {}).get("sources", ()):
            for kind, reference in source.items():
                for item in reference["items"]:
                    found[f"{mount['mountPath']}/{item['path']}"] = {"kind": kind, "mode": mount.get("readOnly")}
    return found


@each_case
def test_the_program_takes_its_settings(case: str, tmp_path: Path) -> None:
    for component, pod, container in containers(case):
        files = mounted(pod, container)
        given = {name: value for name, value in environ(container).items() if name.startswith(PREFIX)}
        for name, value in given.items():
            if name.endswith("_FILE"):
                secret = name.removeprefix(PREFIX).removesuffix("_FILE").lower()
                assert files[value] == {"kind": "secret", "mode": True}, (component, name)
                given[name] = str(tmp_path / secret)
                (tmp_path / secret).write_text(CONTENTS[secret])
            elif value.startswith(FILES):
                assert value in files, (component, name)
        settings = load_settings(given)
        assert "f3Wq9" in settings.postgres_dsn.reveal()
        assert settings.log_format == "json"
        assert settings.web_bind == ("0.0.0.0" if component == "worker" else "127.0.0.1")


@each_case
def test_each_component_has_only_the_secrets_that_it_uses(case: str) -> None:
    used = {
        "worker": set(secret_names()),
        "command": set(secret_names()) - {"web_token"},
        "retention": {"postgres_dsn", "kafka_sasl_password"},
        "migrate": {"postgres_dsn"},
    }
    for component, pod, container in containers(case):
        files = {path.removeprefix(f"{SECRETS}/") for path in mounted(pod, container) if path.startswith(SECRETS)}
        named = {name for name in secret_names() if f"{PREFIX}{name.upper()}_FILE" in environ(container)}
        assert files == named and named <= used[component], component
        assert "postgres_dsn" in named


@each_case
def test_no_secret_stands_in_an_environment_or_a_config_map(case: str) -> None:
    for _, _, container in containers(case):
        assert not {f"{PREFIX}{name.upper()}" for name in secret_names()} & set(environ(container))
        assert "envFrom" not in container
    for manifest in manifests(case):
        assert manifest["kind"] != "Secret"
        assert not any("secretKeyRef" in mapping for mapping in walk(manifest))
    assert all(set(one["data"]) == {"username"} for one in of_kind(manifests(case), "ConfigMap"))


def test_large_numbers_keep_their_digits() -> None:
    [worker] = [container for component, _, container in containers("mtls") if component == "worker"]
    assert environ(worker)["CREDITSTREAM_ORDER_MAX_BYTES"] == "4194304"


@each_case
def test_every_container_is_restricted(case: str) -> None:
    for component, pod, container in containers(case):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {security["runAsUser"], security["runAsGroup"], security["fsGroup"]} == {10001}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, component
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod)
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "projected"}
        assert not any("hostPort" in port for port in container.get("ports", ()))
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]
    accounts = of_kind(manifests(case), "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


@each_case
def test_kubernetes_adds_no_variables_of_its_own(case: str) -> None:
    """For a Service `creditstream` it would, and the program refuses what it does not know."""
    with pytest.raises(StartError, match="CREDITSTREAM_SERVICE_HOST"):
        load_settings({"CREDITSTREAM_SERVICE_HOST": "10.0.0.1"})
    assert all(pod["enableServiceLinks"] is False for _, pod, _ in containers(case))


@each_case
def test_probes_ask_what_a_worker_answers(case: str, program: dict[str, Any]) -> None:
    [worker] = [container for component, _, container in containers(case) if component == "worker"]
    ports = {port["name"]: str(port["containerPort"]) for port in worker["ports"]}
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        ask = worker[f"{probe}Probe"]
        assert ask["httpGet"]["path"] == f"/health/{path}" and ask["httpGet"]["path"] in program["routes"]
        assert ports[ask["httpGet"]["port"]] == environ(worker)["CREDITSTREAM_WEB_PORT"]
    assert worker["readinessProbe"]["timeoutSeconds"] > health._ANSWER_WITHIN
    startup = worker["startupProbe"]
    waits = float(environ(worker).get("CREDITSTREAM_START_TIMEOUT", Settings().start_timeout))
    assert startup["periodSeconds"] * startup["failureThreshold"] > 2 * waits + 60
    assert {one["spec"]["endpoints"][0]["path"] for one in of_kind(manifests(case), "ServiceMonitor")} <= {"/metrics"}
    assert "/metrics" in program["routes"]


@each_case
def test_commands_exist(case: str, program: dict[str, Any]) -> None:
    for component, _, container in containers(case):
        assert "command" not in container, "the image's entry point is the program"
        assert container["args"][0] in {*program["commands"], "worker"}, component


@each_case
def test_a_worker_has_time_to_end(case: str) -> None:
    [(pod, worker)] = [(pod, container) for component, pod, container in containers(case) if component == "worker"]
    before = worker.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    assert before[0] == "sleep"
    settings = load_settings({name: value for name, value in environ(worker).items() if name.endswith("DRAIN_TIMEOUT")})
    assert pod["terminationGracePeriodSeconds"] - int(before[1]) > STOPS_WITHIN > settings.drain_timeout


@each_case
def test_the_data_folder_follows_the_pod(case: str) -> None:
    [workers] = of_kind(manifests(case), "StatefulSet")
    [claim] = workers["spec"]["volumeClaimTemplates"]
    [(pod, worker)] = [(pod, container) for component, pod, container in containers(case) if component == "worker"]
    mounts = {mount["name"]: mount for mount in worker["volumeMounts"]}
    data = mounts[claim["metadata"]["name"]]
    assert environ(worker)["CREDITSTREAM_DATA_DIR"].startswith(data["mountPath"] + "/")
    assert not data.get("readOnly") and f"VOLUME {data['mountPath']}\n" in DOCKERFILE
    assert set(mounts) == {claim["metadata"]["name"], *(volume["name"] for volume in pod["volumes"])}
    assert "group.instance.id" not in json.dumps(workers), "no static membership: docs/adr/0012-sessions.md"


def test_the_image_is_the_one_that_the_dockerfile_makes() -> None:
    assert "USER 10001:10001" in DOCKERFILE and 'ENTRYPOINT ["faust", "-A", "creditstream"]' in DOCKERFILE
    images = {container["image"] for case in CASES for _, _, container in containers(case)}
    assert images == {
        f"registry.example.com/creditstream:{VERSION}",
        f"registry.example.com/creditstream@sha256:{'0' * 64}",
    }
