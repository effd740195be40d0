"""Room on a cluster: what fits, what is said of what doesn't, and how long it is waited for."""

import time
from dataclasses import replace
from typing import Any

import pytest

from diffusegae import capacity
from diffusegae.capacity import Ask, CapacityError, count_room, explain, require_room

Node = dict[str, Any]


def node(cpus: float, gpus: float = 0, address: str = "10.0.0.1", **custom: float) -> Node:
    resources = {"CPU": cpus, "memory": 1e9, **({"GPU": gpus} if gpus else {}), **custom}
    return {"Alive": True, "Resources": resources, "NodeManagerAddress": address}


WORKERS = Ask("pretrain", 8, {"CPU": 2.0}, {"CPU": "resources.cpus_per_worker"}, "resources.num_workers")


@pytest.mark.parametrize(
    ("each", "nodes", "room"),
    [
        ({"CPU": 2}, [node(4)], 2),
        ({"CPU": 2}, [node(5), node(3)], 3),  # no process lies on two nodes
        ({"CPU": 2}, [node(1), node(1)], 0),
        ({"CPU": 1, "GPU": 0.25}, [node(3, gpus=1), node(16)], 3),
        ({"CPU": 0.1}, [node(0.3)], 3),
        ({"CPU": 1, "trainer": 1}, [node(4, trainer=2), node(4)], 2),
        ({"CPU": 1, "GPU": 0}, [node(4)], 4),
        ({"GPU": 0}, [node(4)], float("inf")),
        ({"CPU": 1}, [], 0),
    ],
)
def test_processes_fit_whole_into_nodes(each: dict[str, float], nodes: list[Node], room: float) -> None:
    assert count_room(each, nodes) == room


def test_what_is_said_has_what_is_asked_what_there_is_and_what_to_change() -> None:
    assert explain(WORKERS, [node(4), node(2), node(4)]) == (
        "pretrain asks for 8 x (2 CPU), but the cluster's nodes are 2 x (4 CPU, 0 GPU) and 1 x (2 CPU, 0 GPU): room for"
        " 5. Lower resources.num_workers or resources.cpus_per_worker, or run on a larger cluster (--address)"
    )
    settings = {"CPU": "resources.cpus_per_worker", "GPU": "resources.gpus_per_worker"}
    on_gpus = Ask("refine", 2, {"CPU": 1.0, "GPU": 1.0}, settings, "resources.num_workers")
    assert explain(on_gpus, [node(4)]) == (
        "refine asks for 2 x (1 CPU, 1 GPU), but the cluster's nodes are 1 x (4 CPU, 0 GPU): no GPU. Lower"
        " resources.gpus_per_worker, or run on a larger cluster (--address)"
    )


class World:
    """A cluster whose nodes come and whose clock goes on when somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nodes: list[Node], coming: dict[float, Node]) -> None:
        self.nodes, self.coming, self.now, self.wanted = nodes, coming, 0.0, list[Any]()
        monkeypatch.setattr(capacity.ray, "nodes", lambda: self.nodes)
        monkeypatch.setattr(capacity, "placement_group", self.want)
        monkeypatch.setattr(capacity, "remove_placement_group", self.wanted.remove)
        monkeypatch.setattr(capacity.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(capacity.time, "sleep", self.sleep)

    def want(self, bundles: list[dict[str, float]]) -> list[dict[str, float]]:
        self.wanted.append(bundles)
        return bundles

    def sleep(self, seconds: float) -> None:
        assert self.wanted == [[{"CPU": 2.0}] * 8], "an autoscaler must know what is needed"
        self.now += seconds
        for at in [at for at in self.coming if at <= self.now]:
            self.nodes.append(self.coming.pop(at))


def test_machines_that_come_are_waited_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    lost = node(64) | {"Alive": False}
    world = World(monkeypatch, [node(4), lost], {60.0: node(8), 90.0: node(4)})
    with caplog.at_level("INFO"):
        require_room(WORKERS, minutes=5)
    assert world.now == 90
    assert world.wanted == []
    first, last = (record.message for record in caplog.records)
    assert first.endswith("(--address). Waiting for machines, 5 minutes at most")
    assert last == "pretrain: there is room now"


def test_machines_that_do_not_come_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, [node(4)], {60.0: node(8)})
    with pytest.raises(CapacityError, match=r"1 x \(8 CPU, 0 GPU\): room for 6\..*No machines came in 5 minutes"):
        require_room(WORKERS, minutes=5)
    assert 300 <= world.now < 310
    assert world.wanted == []


def test_what_is_taken_by_others_is_room_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, [node(16)], {})
    require_room(WORKERS, minutes=0)
    assert world.now == 0


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_ray_of_this_machines_own_is_not_waited_for() -> None:
    begun = time.monotonic()
    with pytest.raises(
        CapacityError, match=r"8 x \(2 CPU\), but the cluster's nodes are 1 x \(4 CPU, 0 GPU\): room for 2"
    ):
        require_room(WORKERS, minutes=5)
    assert time.monotonic() - begun < 30
    require_room(replace(WORKERS, count=2), minutes=0)
