"""What a cluster has room for: work that asks for more waits for machines to come, then ends with what to change."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

logger = logging.getLogger(__name__)

POLL_SECONDS, LOOPBACK = 2.0, "127.0.0.1"
SHOWN = ("CPU", "GPU")  # of a node, whether asked for or not


class CapacityError(RuntimeError):
    """More is asked for than the cluster has."""


@dataclass(frozen=True)
class Ask:
    """So many processes at least, each with these resources; `settings` are the keys that ask for each of them."""

    name: str
    count: int
    each: Mapping[str, float]
    settings: Mapping[str, str]
    count_setting: str = ""  # the key that asks for so many, if there can be fewer


def require_room(ask: Ask, minutes: float) -> None:
    """Return when the nodes of the running Ray together have room for what is asked, whoever uses it now.

    Where they have not, machines may be on their way: an autoscaler is told what is needed, and it may take some
    minutes. No other machine can join a Ray that this machine has for itself.

    Raises:
        CapacityError: there is no room, nor will there be.
    """
    nodes = _alive()
    if has_room(ask, nodes):
        return
    if _is_alone(nodes):
        raise CapacityError(explain(ask, nodes))
    logger.warning("%s. Waiting for machines, %g minutes at most", explain(ask, nodes), minutes)
    wanted = placement_group([_positive(ask.each)] * ask.count)  # what an autoscaler acts on
    try:
        deadline = time.monotonic() + 60 * minutes
        while not has_room(ask, nodes):
            if time.monotonic() >= deadline:
                raise CapacityError(f"{explain(ask, nodes)}. No machines came in {minutes:g} minutes")
            time.sleep(POLL_SECONDS)
            nodes = _alive()
    finally:
        remove_placement_group(wanted)
    logger.info("%s: there is room now", ask.name)


def has_room(ask: Ask, nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether nodes, as `ray.nodes` describes them, have room for what is asked if nothing else uses them."""
    return count_room(ask.each, nodes) >= ask.count


def count_room(each: Mapping[str, float], nodes: Sequence[Mapping[str, Any]]) -> float:
    """Return how many processes with these resources nodes have room for; infinity for those that need nothing."""
    needs = _positive(each)
    if not needs:
        return float("inf")
    # a little more than whole: 0.1 goes three times into 0.3
    return sum(min(int(node["Resources"].get(n, 0) / need + 1e-9) for n, need in needs.items()) for node in nodes)


def explain(ask: Ask, nodes: Sequence[Mapping[str, Any]]) -> str:
    """Say what is asked, what the nodes have, and what to change."""
    asked = f"{ask.count} x ({_amounts(_positive(ask.each))})"
    names = dict.fromkeys([*SHOWN, *ask.each])
    kinds = Counter(_amounts({name: node["Resources"].get(name, 0) for name in names}) for node in nodes)
    has = " and ".join(f"{count} x ({kind})" for kind, count in kinds.items())
    missing = [name for name in _positive(ask.each) if not any(node["Resources"].get(name) for node in nodes)]
    lack = f"no {' and no '.join(missing)}" if missing else f"room for {count_room(ask.each, nodes):g}"
    keys = [ask.settings[name] for name in missing or _positive(ask.each)]
    keys = list(dict.fromkeys([ask.count_setting, *keys] if ask.count_setting and not missing else keys))
    return (
        f"{ask.name} asks for {asked}, but the cluster's nodes are {has}: {lack}. Lower {' or '.join(keys)}, or run"
        " on a larger cluster (--address)"
    )


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _is_alone(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the Ray is a machine's own: it listens where no other machine can reach it."""
    return [node["NodeManagerAddress"] for node in nodes] == [LOOPBACK]


def _positive(amounts: Mapping[str, float]) -> dict[str, float]:
    return {name: amount for name, amount in amounts.items() if amount > 0}


def _amounts(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items())
