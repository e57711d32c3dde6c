"""What the Helm chart refuses before anything is installed, and in which words."""

from typing import Any

import pytest

from tests.support.helm import CHART, helm, merged

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "more workers than partitions": ({"replicas": 13}, "a worker without a partition is never ready"),
    "scaling beyond the partitions": (
        {"autoscaling": {"enabled": True, "maxReplicas": 13}},
        "settings.partitions (12)",
    ),
    "no time to end": ({"preStopSeconds": 20}, "terminationGracePeriodSeconds is shorter"),
    "no password": ({"secrets": {"kafka_sasl_password": None}}, "secrets.kafka_sasl_password are needed"),
    "nothing to drop": ({"settings": {"retention_months": 0}}, "retention.enabled needs settings.retention_months"),
    "an unknown setting": ({"settings": {"colour": "blue"}}, "'colour' not allowed"),
    "a bad value": ({"settings": {"drain_timeout": 26}}, "/settings/drain_timeout"),
    "a number as text": ({"settings": {"partitions": "four"}}, "/settings/partitions"),
    "a secret among the settings": ({"settings": {"web_token": "text"}}, "'web_token' not allowed"),
    "a secret's value": ({"secrets": {"web_token": "text"}}, "/secrets/web_token"),
    "a setting around the schema": (
        {"extraEnv": [{"name": "CREDITSTREAM_WEB_TOKEN", "value": "x"}]},
        "/extraEnv/0/name",
    ),
    "what the chart sets itself": ({"settings": {"data_dir": "/tmp"}}, "'data_dir' not allowed"),
    "a page in the clear": ({"ingress": {"enabled": True, "tlsSecret": ""}}, "/ingress/tlsSecret"),
    "an unknown value": ({"replica": 3}, "'replica' not allowed"),
}


@pytest.mark.parametrize(("more", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused(more: dict[str, Any], said: str) -> None:
    text = helm("template", "x", str(CHART), "--kube-version=1.35.0", "-f=-", more=merged("small", more), ok=False)
    assert said in text


def test_what_is_missing_is_named() -> None:
    text = helm("template", "x", str(CHART), ok=False)
    assert all(name in text for name in ("'kafka_brokers'", "'risk_url'", "'postgres_dsn'", "'web_token'"))
