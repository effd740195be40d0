"""Every preset's workers fit the machines that the deployment offers, with CPUs left for the tasks that read."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from tests.cluster.manifests import RAY_UP, command_of, get, of_kind, ray_cluster_spec
from tests.tiny import PRESETS

READING_CPUS = 2  # Ray Data reads by tasks of a CPU each: two of them, or no batch comes while workers hold the others
GPU = "nvidia.com/gpu"
NEEDED = {"paper": ("data.source.uri=data/iLab.zip",)}  # what a preset leaves to its user


class Group(NamedTuple):
    """Machines of one kind: what each of them offers to Ray, and how many there may be."""

    owner: str
    cpus: float
    gpus: float
    count: int

    def problem(self, config: PipelineConfig) -> str:
        """Say what a machine or the group lacks for a preset's training, "" if nothing."""
        resources = config.resources
        if resources.gpus_per_worker > self.gpus:
            return f"{resources.gpus_per_worker} GPUs of {self.gpus}"
        if resources.cpus_per_worker + READING_CPUS > self.cpus:
            return f"{resources.cpus_per_worker} CPUs and {READING_CPUS} for reading of {self.cpus}"
        if resources.min_workers > self.count:
            return f"{resources.min_workers} workers on {self.count} machines"
        return ""


def pod_groups(content: dict[str, object], owner: str) -> list[Group]:
    groups = []
    for group in ray_cluster_spec(content)["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        gpus = float(limits.get(GPU, 0))
        groups.append(Group(f"{owner} {group['groupName']}", float(limits["cpu"]), gpus, group["maxReplicas"]))
    return groups


def kubernetes_groups() -> list[Group]:
    return [group for item in of_kind("RayCluster", "RayJob") for group in pod_groups(item.content, item.label)]


def ray_up_groups() -> list[Group]:
    content = yaml.safe_load(RAY_UP.read_text())
    return [
        Group(f"{RAY_UP.name} {name}", node["resources"]["CPU"], node["resources"].get("GPU", 0), node["max_workers"])
        for name, node in content["available_node_types"].items()
        if name != content["head_node_type"]
    ]


def largest(groups: list[Group], has_gpus: bool) -> Group:
    return max((group for group in groups if bool(group.gpus) == has_gpus), key=lambda group: (group.cpus, group.count))


@pytest.mark.parametrize("groups", [kubernetes_groups(), ray_up_groups()], ids=["kubernetes", "ray up"])
@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_largest_machine_holds_a_worker_of_every_preset(path: Path, groups: list[Group]) -> None:
    config = load_config(path.stem, NEEDED.get(path.stem, ()), PRESETS)
    group = largest(groups, config.resources.gpus_per_worker > 0)
    assert not group.problem(config), group.owner


@pytest.mark.parametrize("name", ["ingest", "train", "tune"])
def test_a_jobs_own_cluster_holds_what_its_command_asks_for(name: str) -> None:
    job = get("RayJob", name)
    command = command_of(job)
    overrides = [command[place + 1] for place, word in enumerate(command) if word == "--set"]
    config = load_config(command[command.index("--config") + 1], overrides, PRESETS)
    groups = pod_groups(job, name)
    if name == "train":
        (group,) = [group for group in groups if group.gpus]
        assert not group.problem(config)
        assert config.resources.max_workers == group.count
    if name == "tune":
        (group,) = [group for group in groups if group.gpus]
        assert group.cpus / config.tune.cpus_per_trial >= group.gpus / config.tune.gpus_per_trial
        assert config.tune.concurrent == group.count * group.gpus / config.tune.gpus_per_trial


def test_gpu_pods_are_alike_in_all_clusters() -> None:
    assert len({(group.cpus, group.gpus) for group in kubernetes_groups() if group.gpus}) == 1
    text = (RAY_UP.parent / "cluster" / "README.md").read_text()
    (cpus,) = re.findall(r"A GPU pod asks for (\d+) CPUs", text)
    assert float(cpus) == largest(kubernetes_groups(), has_gpus=True).cpus
