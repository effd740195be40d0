"""The network policies: every pod is closed by default, what must talk may talk, what need not may not."""

import pytest

from tests.cluster.manifests import Pod, get, of_kind, pods
from tests.cluster.policies import Peer, allowed, selects

POLICIES = [manifest.content for manifest in of_kind("NetworkPolicy")]
OWN = {"kubernetes.io/metadata.name": "diffusegae", **get("Namespace", "diffusegae")["metadata"]["labels"]}
OUTSIDE = Peer(None, {})
OTHERS = {
    "operator": Peer(
        {"app.kubernetes.io/component": "kuberay-operator"}, {"kubernetes.io/metadata.name": "kuberay-system"}
    ),
    "ingress": Peer({"app": "controller"}, {"kubernetes.io/metadata.name": "ingress-nginx"}),
    "stranger": Peer({"app": "stranger"}, {"kubernetes.io/metadata.name": "elsewhere"}),
    "intruder": Peer({"app": "intruder"}, OWN),
    "dns": Peer({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}),
    "outside": OUTSIDE,
}
NEEDED = [
    *((name, "dns", 53) for name in ("train-gpu", "editor-head", "editor-worker", "mlflow", "submitter", "grafana")),
    ("train-head", "train-gpu", 40000),
    ("train-gpu", "train-head", 6379),
    ("train-gpu", "mlflow", 5000),
    ("train-gpu", "outside", 443),
    ("train-head", "outside", 6443),
    ("submitter", "train-head", 8265),
    ("operator", "train-head", 8265),
    ("operator", "editor-head", 8265),
    ("operator", "editor-worker", 8000),
    ("editor-head", "editor-worker", 40000),
    ("editor-worker", "editor-head", 6379),
    ("editor-worker", "mlflow", 5000),
    ("editor-head", "mlflow", 5000),
    ("editor-head", "redis", 6379),
    ("editor-head", "outside", 443),
    ("ingress", "editor-worker", 8000),
    ("mlflow", "postgres", 5432),
    ("mlflow", "outside", 443),
    ("prometheus", "editor-worker", 8080),
    ("prometheus", "train-gpu", 8080),
    ("prometheus", "outside", 443),
    ("grafana", "prometheus", 9090),
]
FORBIDDEN = [
    ("train-gpu", "editor-head", 6379),
    ("train-gpu", "editor-worker", 8000),
    ("editor-worker", "train-head", 8265),
    ("train-gpu", "redis", 6379),
    ("train-gpu", "postgres", 5432),
    ("editor-worker", "postgres", 5432),
    ("editor-worker", "outside", 443),
    ("grafana", "postgres", 5432),
    ("submitter", "editor-head", 8265),
    ("submitter", "train-head", 6379),
    ("postgres", "outside", 443),
    ("redis", "outside", 443),
    ("stranger", "train-head", 8265),
    ("stranger", "mlflow", 5000),
    ("stranger", "train-gpu", 8080),
    ("intruder", "redis", 6379),
    ("intruder", "train-head", 8265),
    ("ingress", "editor-head", 8265),
    ("ingress", "mlflow", 5000),
    ("train-gpu", "outside", 80),
]


def peer(name: str) -> Peer:
    if name in OTHERS:
        return OTHERS[name]
    labels = {
        "train-head": "RayJob/train head",
        "train-gpu": "RayJob/train gpu",
        "submitter": "RayJob/train submitter",
        "editor-head": "RayService/editor head",
        "editor-worker": "RayService/editor editors",
    }
    wanted = labels.get(name, f"/{name}")
    (pod,) = [pod for pod in pods() if pod.owner.endswith(wanted)]
    return Peer(pod.labels, OWN)


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod.owner)
@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_every_pod_is_closed_and_has_a_rule_of_its_own(pod: Pod, direction: str) -> None:
    governing = [policy for policy in POLICIES if selects(policy, pod.labels, direction)]
    names = {policy["metadata"]["name"] for policy in governing}
    assert "default-deny" in names
    assert any(
        policy["spec"]["podSelector"] and selects(policy, pod.labels, way)
        for policy in POLICIES
        for way in ("Ingress", "Egress")
    ), "no policy is about this pod: it could do nothing but ask for names"


def test_the_default_lets_nothing_through() -> None:
    (deny,) = [policy for policy in POLICIES if policy["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(("source", "target", "port"), NEEDED)
def test_what_must_talk_may(source: str, target: str, port: int) -> None:
    assert allowed(POLICIES, peer(source), peer(target), port, OWN)


@pytest.mark.parametrize(("source", "target", "port"), FORBIDDEN)
def test_what_need_not_talk_may_not(source: str, target: str, port: int) -> None:
    assert not allowed(POLICIES, peer(source), peer(target), port, OWN)


def test_the_rules_open_ports_that_are_there() -> None:
    """Every port that a rule opens towards a pod of ours is one that some pod listens on."""
    listening = {port["containerPort"] for pod in pods() for box in pod.containers for port in box.get("ports", ())}
    opened = {
        entry["port"]
        for policy in POLICIES
        for rule in policy["spec"].get("ingress", ())
        for entry in rule.get("ports", ())
    }
    assert opened <= listening
