"""What NetworkPolicies let through, as Kubernetes reads them: rules add up, a selected pod is closed to the rest."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Policy = Mapping[str, Any]


class Peer(NamedTuple):
    """A pod, or with labels None an address outside of the cluster."""

    labels: Mapping[str, str] | None
    namespace: Mapping[str, str]


def allowed(policies: Sequence[Policy], source: Peer, target: Peer, port: int, own: Mapping[str, str]) -> bool:
    """Tell whether `source` may open a TCP connection to `target`; `own` are the labels of the policies' namespace."""
    return _passes(policies, "Egress", source, target, port, own) and _passes(
        policies, "Ingress", target, source, port, own
    )


def selects(policy: Policy, labels: Mapping[str, str], direction: str) -> bool:
    """Tell whether a policy governs one direction of a pod."""
    spec = policy["spec"]
    return direction in spec["policyTypes"] and _matches(spec["podSelector"], labels)


def _passes(
    policies: Sequence[Policy], direction: str, pod: Peer, other: Peer, port: int, own: Mapping[str, str]
) -> bool:
    if pod.labels is None or pod.namespace != own:
        return True  # not governed by these policies
    governing = [policy for policy in policies if selects(policy, pod.labels, direction)]
    rules = [rule for policy in governing for rule in policy["spec"].get(direction.lower(), ())]
    side = "to" if direction == "Egress" else "from"
    return not governing or any(_admits(rule, side, other, port, own) for rule in rules)


def _admits(rule: Mapping[str, Any], side: str, other: Peer, port: int, own: Mapping[str, str]) -> bool:
    ports = [entry["port"] for entry in rule.get("ports", ()) if entry.get("protocol", "TCP") == "TCP"]
    if "ports" in rule and port not in ports:
        return False
    return side not in rule or any(_is_peer(peer, other, own) for peer in rule[side])


def _is_peer(peer: Mapping[str, Any], other: Peer, own: Mapping[str, str]) -> bool:
    if "ipBlock" in peer:
        return other.labels is None and peer["ipBlock"]["cidr"] == "0.0.0.0/0"
    if other.labels is None:
        return False
    namespaces = peer.get("namespaceSelector")
    is_near = other.namespace == own if namespaces is None else _matches(namespaces, other.namespace)
    return is_near and _matches(peer.get("podSelector", {}), other.labels)


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(_holds(term, labels) for term in selector.get("matchExpressions", ()))


def _holds(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, operator = labels.get(term["key"]), term["operator"]
    if operator == "In":
        return value in term["values"]
    if operator == "NotIn":
        return value not in term["values"]
    return (value is not None) == {"Exists": True, "DoesNotExist": False}[operator]
