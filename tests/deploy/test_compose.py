"""docker-compose.yml: what it says can be checked without an engine."""

import re
from typing import Any

import pytest
import yaml

from creditstream.config.load import load_settings
from creditstream.config.settings import PREFIX, Settings
from tests.support.servers import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_what_the_issue_asks_for_is_there() -> None:
    wanted = {"kafka", "postgres", "postgres-replica", "redis", "risk-api", "migrate", "worker-1", "worker-2"}
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == wanted
    monitoring = {name for name, service in SERVICES.items() if service.get("profiles") == ["monitoring"]}
    assert monitoring == {"prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_what_runs_has_a_health_check_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_secrets_have_no_defaults() -> None:
    variables = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", TEXT)
    assert variables and all(rest.startswith(":?") for _, rest in variables)
    example = re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert {name for name, _ in example} == {name for name, _ in variables}
    assert not any(value for _, value in example)


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_the_settings_exist_and_their_values_are_right() -> None:
    given = {name.removeprefix(PREFIX).lower(): value for name, value in SERVICES["worker-1"]["environment"].items()}
    assert set(given) <= set(Settings.__struct_fields__)
    values = {
        f"{PREFIX}{name.upper()}": re.sub(r"\$\{[^}]*\}", "a-long-random-secret", value)
        for name, value in given.items()
    }
    assert load_settings(values).allow_plaintext, "and they are accepted at a start"


@pytest.mark.parametrize("name", ["worker-1", "worker-2", "migrate", "risk-api"])
def test_our_own_containers_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_workers_wait_for_the_migrations_and_have_time_to_drain() -> None:
    volumes = set()
    for name in ("worker-1", "worker-2"):
        worker = SERVICES[name]
        assert worker["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert int(worker["stop_grace_period"].removesuffix("s")) > 30
        volumes.update(worker["volumes"])
    assert len(volumes) == 2


def test_what_is_named_is_defined() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert {config["source"] for config in service.get("configs", ())} <= set(COMPOSE["configs"])
        named = {volume.split(":")[0] for volume in service.get("volumes", ()) if not volume.startswith(".")}
        assert named <= set(COMPOSE["volumes"])
