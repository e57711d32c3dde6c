"""The Helm chart without a cluster: Helm takes it, Kubernetes' schemas take what it makes, its parts fit each other."""

from typing import Any

import pytest
import yaml

from creditstream.config.settings import Settings
from creditstream.kafka.topics import all_topics
from scripts.chart import generated
from tests.deploy.variants import CASES, manifests, matches, walk
from tests.support.helm import CHART, KUBERNETES, SIZES, Manifest, helm, merged, of_kind, pods, values
from tests.support.kubernetes import violations
from tests.support.servers import ROOT

each_case = pytest.mark.parametrize("case", CASES)


@pytest.mark.parametrize("size", SIZES)
def test_lint(size: str) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", str(CHART), *values(size))


@each_case
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_it(case: str, version: str) -> None:
    found = [line for manifest in manifests(case) for line in violations(manifest, version)]
    assert not found


def test_the_schemas_know_a_wrong_field() -> None:
    """Of Kubernetes' own resources and of the others': a name that does not exist, and a value of the wrong kind."""
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"maxUnavailabel": 1}}
    assert violations(budget, KUBERNETES[0])
    scaled: Manifest = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "spec": {"scaleTargetRef": {"name": "x"}},
    }
    assert any("triggers" in line for line in violations(scaled, KUBERNETES[0]))
    for wrong in ({"maxReplicas": 3}, {"maxReplicaCount": "3"}):
        spec = {**scaled["spec"], "triggers": [], **wrong}
        assert violations({**scaled, "spec": spec}, KUBERNETES[0]), wrong


@each_case
def test_no_two_have_one_name(case: str) -> None:
    names = [(one["kind"], one["metadata"].get("name", one["metadata"].get("generateName"))) for one in manifests(case)]
    assert len(names) == len(set(names))
    assert all(name and len(name) <= 52 for _, name in names), "a pod's name has room for its number"


def test_the_names_stay_short_enough() -> None:
    for release in ("x" * 53, "creditstream-" + "x" * 40):
        text = helm("template", release, str(CHART), "--kube-version=1.35.0", *values("medium"))
        [workers] = of_kind([one for one in yaml.safe_load_all(text) if one], "StatefulSet")
        assert len(workers["metadata"]["name"]) <= 52 - len("-retention"), "a CronJob's name has 52 letters at most"


@each_case
def test_selectors_find_their_pods(case: str) -> None:
    templates = {component: pod["metadata"]["labels"] for component, pod in pods(manifests(case))}
    for manifest in of_kind(manifests(case), "StatefulSet", "PodDisruptionBudget", "Service"):
        found = {name for name, labels in templates.items() if matches(manifest["spec"]["selector"], labels)}
        assert found == {"worker"}, manifest["metadata"]
    for constraint in _stateful_set(case)["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert matches(constraint["labelSelector"], templates["worker"])


@each_case
def test_every_pod_has_its_network_policy(case: str) -> None:
    policies = of_kind(manifests(case), "NetworkPolicy")
    for component, pod in pods(manifests(case)):
        mine = [one for one in policies if matches(one["spec"]["podSelector"], pod["metadata"]["labels"])]
        assert len(mine) == (0 if case == "bare" else 1), component
        for policy in mine:
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
            assert bool(policy["spec"].get("ingress")) is (component == "worker")
            assert all(rule.get("to") for rule in policy["spec"]["egress"]), "no rule leads everywhere"


def test_who_needs_what_may_reach_it() -> None:
    needed = {"worker": {9096, 5432, 6379, 443}, "retention": {9096, 5432}, "migrate": {5432}}
    for manifest in of_kind(manifests("medium"), "NetworkPolicy"):
        component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        ports = {
            port["port"]
            for rule in manifest["spec"]["egress"]
            for port in rule["ports"]
            if any("ipBlock" in peer for peer in rule["to"])
        }
        assert ports == needed.get(component, ports), component
        assert any(port["port"] == 53 for rule in manifest["spec"]["egress"] for port in rule["ports"])
    brokers = _settings("medium")["kafka_brokers"].split(",")
    assert {int(broker.rpartition(":")[2]) for broker in brokers} <= needed["worker"]


@each_case
def test_services_ports_and_the_ingress_lead_to_the_worker(case: str) -> None:
    [container] = _stateful_set(case)["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(manifests(case), "Service")}
    assert all(port["targetPort"] in ports for spec in services.values() for port in spec["ports"])
    workers = services[_stateful_set(case)["spec"]["serviceName"]]
    assert workers["clusterIP"] == "None" and workers["publishNotReadyAddresses"] is True
    for ingress in of_kind(manifests(case), "Ingress"):
        backends = [one["service"] for one in walk(ingress) if "service" in one]
        assert backends and all(
            one["port"]["name"] in {port["name"] for port in services[one["name"]]["ports"]} for one in backends
        )
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"] for rule in ingress["spec"]["rules"]]


@each_case
def test_the_monitor_sees_each_worker_once(case: str) -> None:
    services = of_kind(manifests(case), "Service")
    for monitor in of_kind(manifests(case), "ServiceMonitor"):
        [service] = [one for one in services if matches(monitor["spec"]["selector"], one["metadata"]["labels"])]
        assert service["spec"]["clusterIP"] == "None", "also those that are not ready"
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "creditstream", (
            'alerts say job="creditstream"'
        )


def test_the_alerts_are_the_projects() -> None:
    [rule] = of_kind(manifests("large"), "PrometheusRule")
    files = [ROOT / "deploy" / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
    assert rule["spec"]["groups"] == [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


def test_what_the_chart_has_from_elsewhere_is_current() -> None:
    for path, content in generated().items():
        assert path.read_text(encoding="utf-8") == content, "run: .venv/bin/python scripts/chart.py"


@pytest.mark.parametrize("case", ["iam", "mtls", "scaling"])
def test_autoscaling_watches_our_topics_and_stays_below_the_partitions(case: str) -> None:
    [scaled] = of_kind(manifests(case), "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] == _stateful_set(case)["metadata"]["name"]
    assert "replicas" not in _stateful_set(case)["spec"], "an upgrade would set back what KEDA chose"
    assert scaled["spec"]["maxReplicaCount"] <= _settings(case)["partitions"]
    settings = Settings(topic_prefix=_settings(case).get("topic_prefix", ""))
    topics = {settings.topic_prefix + topic.name for topic in all_topics(settings)}
    [authentication] = of_kind(manifests(case), "TriggerAuthentication")
    for trigger in scaled["spec"]["triggers"]:
        metadata = trigger["metadata"]
        assert metadata["topic"] in topics and metadata["consumerGroup"] == settings.group
        assert metadata["tls"] == "enable" and all(isinstance(value, str) for value in metadata.values())
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert _ways_in(authentication) == _WAYS[case]


_WAYS: dict[str, set[str]] = {"iam": {"aws"}, "mtls": {"ca", "cert", "key"}, "scaling": {"username", "password"}}


def _ways_in(authentication: Manifest) -> set[str]:
    spec = authentication["spec"]
    refs = [*spec.get("secretTargetRef", ()), *spec.get("configMapTargetRef", ())]
    return {ref["parameter"] for ref in refs} | {spec.get("podIdentity", {}).get("provider")} - {None}


def test_the_database_is_migrated_before_anything_else_is_there() -> None:
    [job] = of_kind(manifests("small"), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default", "the release's own comes after the hook"
    [policy] = [
        one for one in of_kind(manifests("small"), "NetworkPolicy") if one["metadata"]["name"].endswith("migrate")
    ]
    weights = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in (policy, job)]
    assert weights == sorted(set(weights)), "the policy first"


def _stateful_set(case: str) -> Manifest:
    [found] = of_kind(manifests(case), "StatefulSet")
    return found


def _settings(case: str) -> dict[str, Any]:
    found: dict[str, Any] = merged(*CASES[case])["settings"]
    return found
