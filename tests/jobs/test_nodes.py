"""Training on a real cluster of several nodes by `ray job submit`: it spreads, survives a lost node, uses a new one."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from diffusegae.checkpoint import read_meta
from diffusegae.data.shards import read_manifest
from diffusegae.training.journal import read_journal
from diffusegae.training.launch import read_done
from tests.jobs import road
from tests.nodes import NodeCluster

pytestmark = pytest.mark.e2e

SAMPLES = 24_000
TRAINS = "after the worker started"


def wait_until(condition: Callable[[], bool], log: Path, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
        time.sleep(0.2)


@pytest.mark.skip(reason="not yet seen to pass: under load the driver on the head dies while torch is loaded")
def test_an_elastic_run_takes_a_new_node_in_and_goes_on_without_a_lost_one(tmp_path: Path) -> None:
    storage, log = tmp_path / "runs", tmp_path / "job.log"
    road.run("ingest", storage)
    line = (
        f"python jobs/train.py --config smoke --stage pretrain --set storage={storage}"
        f" --set pretrain.num_samples={SAMPLES} --set pretrain.checkpoint_every_samples=320"
        " --set pretrain.report_every_samples=320 --set resources.num_workers=[1,2] --set resources.resize_seconds=2"
        " --set 'resources.worker_resources={trainer: 1}' --set resources.journal=true"
    )

    def says(text: str, times: int = 1) -> Callable[[], bool]:
        return lambda: log.read_text(errors="replace").count(text) >= times

    with NodeCluster() as cluster:
        cluster.start_head()
        cluster.add_node(resources={"trainer": 1})
        process = cluster.submit(line, log)
        wait_until(says(TRAINS), log)
        joined = cluster.add_node(resources={"trainer": 1})
        wait_until(says(" 2 workers, starts at sample"), log)
        wait_until(says(TRAINS, 2), log)
        joined.kill()
        wait_until(says(TRAINS, 3), log)
        assert process.wait(timeout=300) == 0, log.read_text(errors="replace")[-4000:]

    done = read_done(str(storage / "smoke" / "stages"), "pretrain")
    assert done is not None
    assert read_meta(Path(done.checkpoint)).samples_seen == SAMPLES
    steps = read_journal(str(storage / "smoke" / "stages" / "pretrain" / "journal"))
    assert {step.rank for step in steps} == {0, 1}
    samples = [members[0] for step in steps for members in step.samples]
    assert len(samples) == SAMPLES
    images = read_manifest(str(storage / "smoke" / "images")).num_train
    for begin in range(0, SAMPLES - images + 1, images):
        assert len(set(samples[begin : begin + images])) == images
