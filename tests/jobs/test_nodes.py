"""Training on a real cluster of several nodes by `ray job submit`: it spreads, survives a lost node, uses a new one."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diffusegae.checkpoint import read_meta
from diffusegae.data.shards import read_manifest
from diffusegae.training.journal import read_journal
from diffusegae.training.launch import read_done
from tests.jobs import road
from tests.nodes import RAY, NodeCluster, find_workers

pytestmark = pytest.mark.e2e

TRAINS = "after the worker started"
NEVER = 10**9


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingest the images of `smoke` once."""
    storage = tmp_path_factory.mktemp("images") / "runs"
    road.run("ingest", storage)
    return storage


@pytest.fixture
def storage(images: Path, tmp_path: Path) -> Path:
    """Give a run's storage, with the images in it."""
    return Path(shutil.copytree(images, tmp_path / "runs"))


@pytest.fixture(scope="module")
def head() -> Iterator[NodeCluster]:
    """Start a cluster of a head alone, which takes no part in training."""
    with NodeCluster() as cluster:
        cluster.start_head()
        yield cluster


@pytest.fixture
def cluster(head: NodeCluster) -> Iterator[NodeCluster]:
    """Give the cluster; the nodes that a test adds are lost at its end."""
    yield head
    head.lose(*head.workers)


class Run:
    """A submitted stage 1 of `smoke` on nodes that offer a `trainer`, and what its log says."""

    def __init__(self, cluster: NodeCluster, storage: Path, samples: int, *settings: str) -> None:
        self.storage, self.samples, self.log = storage, samples, storage.parent / "job.log"
        words = [
            f"storage={storage}",
            f"pretrain.num_samples={samples}",
            "resources.worker_resources={trainer: 1}",
            "resources.journal=true",
            "data.lanes=1",  # epochs of the whole set, which check_end counts off
            *settings,
        ]
        options = " ".join(f"--set '{word}'" for word in words)
        self.process = cluster.submit(f"python jobs/train.py --config smoke --stage pretrain {options}", self.log)

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1, seconds: float = 240) -> None:
        self.wait_until(lambda: self.text.count(text) >= times, seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text[-4000:]
            assert self.process.poll() is None, self.text[-4000:]
            time.sleep(0.1)

    def checkpoints(self) -> list[int]:
        """Return the counts of samples of the whole checkpoints."""
        whole = (self.storage / "smoke" / "stages" / "pretrain" / "run").glob("checkpoint_*/meta.json")
        return sorted(int(path.parent.name.rpartition("_")[2]) for path in whole)

    def check_end(self) -> set[int]:
        """Wait for the end; check that every sample was used once per epoch; return the ranks that took part."""
        assert self.process.wait(timeout=300) == 0, self.text[-4000:]
        done = read_done(str(self.storage / "smoke" / "stages"), "pretrain")
        assert done is not None
        assert read_meta(Path(done.checkpoint)).samples_seen == self.samples
        steps = read_journal(str(self.storage / "smoke" / "stages" / "pretrain" / "journal"))
        used = [members[0] for step in steps for members in step.samples]
        assert len(used) == self.samples
        images = read_manifest(str(self.storage / "smoke" / "images")).num_train
        for begin in range(0, self.samples - images + 1, images):
            assert len(set(used[begin : begin + images])) == images
        return {step.rank for step in steps}


def test_an_elastic_run_takes_a_new_node_in_and_goes_on_without_a_lost_one(cluster: NodeCluster, storage: Path) -> None:
    cluster.add_node(resources={"trainer": 1})
    run = Run(
        *(cluster, storage, 24_000, "resources.num_workers=[1,2]", "resources.resize_seconds=2"),
        *("pretrain.checkpoint_every_samples=320", "pretrain.report_every_samples=320"),
    )
    run.wait_for(TRAINS)
    joined = cluster.add_node(resources={"trainer": 1})
    run.wait_for(" 2 workers, starts at sample")
    run.wait_for(TRAINS, 2)
    begun = max(run.checkpoints())
    run.wait_until(lambda: max(run.checkpoints()) >= begun + 3 * 320)  # what two workers did is kept: Ray knows of it
    joined.kill()
    run.wait_for(TRAINS, 3)
    assert run.check_end() == {0, 1}


def test_a_notice_of_preemption_saves_at_once_and_no_step_is_lost(cluster: NodeCluster, storage: Path) -> None:
    """The notice's checkpoint is the only one but the last, so what comes after the loss can start from it alone."""
    for _ in range(2):
        cluster.add_node(resources={"trainer": 1})
    run = Run(
        *(cluster, storage, 12_000),
        *(f"pretrain.checkpoint_every_samples={NEVER}", "pretrain.checkpoint_every_minutes=0"),
        "pretrain.report_every_samples=160",
    )
    run.wait_for(TRAINS)
    going = next(node for node in cluster.workers if find_workers(node.process.pid))
    drain(cluster, going.address, seconds=30)
    noticed = time.monotonic()
    run.wait_until(lambda: bool(run.checkpoints()))
    assert time.monotonic() - noticed < 30, "saved after the machine was gone"
    going.kill()
    run.wait_for(TRAINS, 2)
    [saved] = run.checkpoints()
    assert "preemption announced" in run.text
    assert f"1 workers, starts at sample {saved}" in run.text
    assert run.check_end() == {0}


def test_a_run_waits_for_a_machine_that_is_on_its_way_and_not_for_ever(cluster: NodeCluster, storage: Path) -> None:
    asks = "pretrain asks for 1 x (1 CPU, 1 trainer), but the cluster's nodes are 1 x (2 CPU, 0 GPU, 0 trainer): no tr"
    hopeless = Run(cluster, storage, 320, "resources.wait_minutes=0.02")
    hopeless.process.wait(timeout=240)
    assert "No machines came in 0.02 minutes" in hopeless.text
    assert f"error: {asks}" in hopeless.text
    assert "Traceback" not in hopeless.text
    run = Run(cluster, storage, 320)
    run.wait_for(asks)
    cluster.add_node(resources={"trainer": 1})
    assert run.check_end() == {0}
    assert "pretrain: there is room now" in run.text


def drain(cluster: NodeCluster, address: str, seconds: int) -> None:
    """Announce that a node will be taken away, as the autoscaler does for a spot machine."""
    command = ["drain-node", f"--address={cluster.address}", f"--node-id={cluster.node_ids()[address]}"]
    command += ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot"]
    subprocess.run([RAY, *command, f"--deadline-remaining-seconds={seconds}"], env=cluster.variables, check=True)


def test_four_nodes_two_train_and_one_decodes_for_them(cluster: NodeCluster, storage: Path) -> None:
    trainers = [cluster.add_node(resources={"trainer": 1}) for _ in range(2)]
    decoder = cluster.add_node(resources={"decoder": 1})
    run = Run(
        *(cluster, storage, 3_200, "resources.num_workers=2", "resources.placement=SPREAD"),
        *("resources.decode=cluster", "resources.reader_resources={decoder: 0.1}"),
    )
    run.wait_for(TRAINS)
    assert cluster.head is not None
    assert cluster.alive() == {node.address for node in (cluster.head, *trainers, decoder)}
    assert [len(find_workers(node.process.pid)) for node in trainers] == [1, 1]
    readers = {task["node_id"] for task in cluster.tasks() if "read_row_groups" in task["name"]}
    assert readers == {cluster.node_ids()[decoder.address]}
    assert run.check_end() == {0, 1}
