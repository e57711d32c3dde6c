"""What is rendered and checked: the three sizes, and what else the chart can do."""

import itertools
from typing import Any

from tests.support.helm import SIZES, Manifest, rendered

_NO_PASSWORD: dict[str, Any] = {
    "settings": {"kafka_sasl_username": None, "kafka_sasl_mechanism": None},
    "secrets": {"kafka_sasl_password": None},
}
#: Nothing but what is needed; no optional file, no optional secret.
_BARE: dict[str, Any] = {
    "secrets": {"postgres_replica_dsn": None, "redis_url": None, "risk_api_key": None},
    "files": {"postgres_ca": None},
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "serviceAccount": {"create": False},
    "retention": {"enabled": False},
    "migrations": {"enabled": False},
    "preStopSeconds": 0,
    "ingress": {"enabled": False},
    "serviceMonitor": {"enabled": False},
    "prometheusRule": {"enabled": False},
}
_IAM: dict[str, Any] = {
    "settings": {
        **_NO_PASSWORD["settings"],
        "kafka_sasl_mechanism": "AWS_MSK_IAM",
        "kafka_aws_region": "eu-west-1",
        "topic_prefix": "eu-",
        "start_timeout": 120,
        "dogstatsd_address": "$(HOST_IP):8125",
    },
    "secrets": _NO_PASSWORD["secrets"],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/creditstream"}},
    "autoscaling": {"enabled": True, "maxReplicas": 12},
}
_CERTIFICATE = {name: {"secret": "kafka-client", "key": f"tls.{name}"} for name in ("key", "cert")}
_MTLS: dict[str, Any] = {
    "settings": {**_NO_PASSWORD["settings"], "kafka_security_protocol": "SSL", "order_max_bytes": 4_194_304},
    "secrets": _NO_PASSWORD["secrets"],
    "files": {
        "kafka_ssl_cafile": {"configMap": "authorities", "key": "kafka.pem"},
        "kafka_ssl_certfile": _CERTIFICATE["cert"],
        "kafka_ssl_keyfile": _CERTIFICATE["key"],
        "redis_ssl_cafile": {"configMap": "authorities", "key": "redis.pem"},
        "risk_ssl_cafile": {"configMap": "authorities", "key": "risk.pem"},
    },
    "autoscaling": {
        "enabled": True,
        "maxReplicas": 12,
        "tls": {"ca": {"configMap": "authorities", "key": "kafka.pem"}, **_CERTIFICATE},
    },
    "image": {"digest": f"sha256:{'0' * 64}", "pullSecrets": ["registry"]},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "orders", "operator": "Exists"}],
    "podAnnotations": {"team": "credit"},
    "priorityClassName": "high",
    "persistence": {"storageClass": "gp3"},
    "extraEnv": [{"name": "AWS_REGION", "value": "eu-west-1"}],
}
_SCALING: dict[str, Any] = {"autoscaling": {"enabled": True, "maxReplicas": 12}}
_COMMAND: dict[str, Any] = {"command": ["grow", "--partitions", "24"]}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{size: (size, {}) for size in SIZES},
    "bare": ("small", _BARE),
    "iam": ("medium", _IAM),
    "mtls": ("medium", _MTLS),
    "scaling": ("medium", _SCALING),
    "command": ("medium", _COMMAND),
}


def manifests(case: str) -> list[Manifest]:
    return rendered(*CASES[case])


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a selector (`matchLabels`, or a Service's) picks what has the labels; an empty one picks all."""
    assert not set(selector) & {"matchExpressions"}
    return dict(selector.get("matchLabels", selector)).items() <= labels.items()


def walk(value: Any) -> Any:
    """Every mapping in a manifest."""
    if isinstance(value, dict):
        yield value
        yield from itertools.chain.from_iterable(map(walk, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(walk, value))
