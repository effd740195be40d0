"""The jobs that the manifests start: their files, their options and their settings, parsed by the jobs themselves."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diffusegae.config.pipeline import PipelineConfig
from tests.cluster.manifests import ROOT, command_of, get, settings

JOBS = ("ingest", "train", "tune")


class Connected(Exception):  # noqa: N818 - it ends a job where its work would begin
    """Raised in place of connecting: the job has parsed its options and loaded its config."""


def started(command: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, PipelineConfig]:
    """Run a job's main function up to its connection to Ray; return the address and the config that it has by then."""
    python, script, *options = command
    assert python == "python"
    assert (ROOT / script).is_file(), f"{script} does not exist"
    module = importlib.import_module(Path(script).with_suffix("").as_posix().replace("/", "."))
    seen: list[PipelineConfig] = []
    load: Callable[..., PipelineConfig] = module.config_of

    def remember(*arguments: object) -> PipelineConfig:
        seen.append(load(*arguments))
        return seen[-1]

    def stop(address: str, *_: object) -> None:
        raise Connected(address)

    monkeypatch.setattr(module, "config_of", remember)
    monkeypatch.setattr(module, "connect", stop)
    monkeypatch.setattr(sys, "argv", [script, *options])
    with pytest.raises(Connected) as ended:
        module.main()
    return str(ended.value), seen[-1]


@pytest.mark.parametrize("name", JOBS)
def test_each_job_parses_and_keeps_everything_on_s3(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = command_of(get("RayJob", name))
    address, config = started(command, monkeypatch)
    assert address == "auto", "without an address, a job would start a Ray of its own inside the head's pod"
    assert config.name == "vehicles64"
    assert config.storage == settings()["DIFFUSEGAE_STORAGE"]
    assert config.tracking.uri == settings()["MLFLOW_TRACKING_URI"]
    assert config.resources.gpus_per_worker == 1


def test_the_jobs_are_the_ones_they_are_called() -> None:
    scripts = {name: command_of(get("RayJob", name))[1] for name in JOBS}
    assert scripts == {"ingest": "jobs/ingest.py", "train": "jobs/pipeline.py", "tune": "jobs/tune.py"}


def test_training_takes_no_more_gpus_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    job = get("RayJob", "train")
    _, config = started(command_of(job), monkeypatch)
    groups = {group["groupName"]: group for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]}
    assert config.resources.num_workers == (1, groups["gpu"]["maxReplicas"])
    cpus = float(groups["gpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert config.resources.cpus_per_worker < cpus, "reading needs a CPU beside the worker"


def test_as_many_trials_run_as_there_are_gpus_for(monkeypatch: pytest.MonkeyPatch) -> None:
    job = get("RayJob", "tune")
    command = command_of(job)
    _, config = started(command, monkeypatch)
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    per_node = int(limits["nvidia.com/gpu"]) / config.tune.gpus_per_trial
    assert config.tune.concurrent == per_node * group["maxReplicas"]
    assert per_node * config.tune.cpus_per_trial <= float(limits["cpu"])
    assert "--resume" in command, "a retry would refuse the sweep that is there"


def test_a_misspelt_option_or_setting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    command = command_of(get("RayJob", "train"))
    with pytest.raises(SystemExit):
        started([*command, "--adress", "auto"], monkeypatch)
    with pytest.raises(ValueError, match="num_worker"):
        started([*command, "--set", "resources.num_worker=2"], monkeypatch)


def test_only_settings_that_exist_are_used_and_every_shell_that_expands_has_them() -> None:
    for name in JOBS:
        job = get("RayJob", name)
        assert "$" not in " ".join(command_of(job))
        (submitter,) = job["spec"]["submitterPodTemplate"]["spec"]["containers"]
        head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        for container in (submitter, head):
            assert {"configMapRef": {"name": "settings"}} in container["envFrom"]


def test_the_readmes_commands_name_files_that_exist() -> None:
    text = (ROOT / "cluster" / "README.md").read_text()
    paths = set(re.findall(r"(?<![\w/])(?:cluster|jobs|serve|tests)/[\w./-]*\w", text))
    assert len(paths) > 8
    missing = sorted(path for path in paths if not (ROOT / path).exists())
    assert not missing
