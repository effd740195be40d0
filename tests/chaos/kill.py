"""Kill parts of a running training at random moments and check that nothing is lost, doubled or different.

    python -m tests.chaos.kill --what worker --times 20
    python -m tests.chaos.kill --what driver --times 20
    python -m tests.chaos.kill --what node --times 5
    python -m tests.chaos.kill --what head --times 5

Stage 1 of `smoke` trains once undisturbed; then again and again with kills (kill -9) at random times, until there were
as many as asked. A killed worker or node is survived by the run itself; after the death of a driver or head the same
command is given again. Every run must end; its journal must hold the same samples in the same order as the undisturbed
one, each training image once per epoch; and every tensor of its checkpoint must be the same bit for bit.
"""

import argparse
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from diffusegae.checkpoint import read_tensors
from diffusegae.data.shards import read_manifest
from diffusegae.training.journal import read_journal
from diffusegae.training.launch import read_done
from tests.jobs import road
from tests.nodes import NodeCluster, find_workers, kill_tree

NUM_SAMPLES = 9600
SETTINGS = (
    *("--set", "pretrain.report_every_samples=160"),
    *("--set", "pretrain.checkpoint_every_samples=160", "--set", "resources.journal=true"),
    *("--set", "resources.max_failures=-1"),
)
TENSORS = ("model", "ema", "optimizer-simple")
RUN_SECONDS, KILLS_PER_RUN = 900.0, 4
STARTS = " s after the worker started"  # the log line of the first step


@dataclass
class Trials:
    """What happened over all runs."""

    kills: int = 0
    runs: int = 0
    seconds_to_training: list[float] = field(default_factory=list)


class Chaos:
    """A folder with an ingested set, an undisturbed run as the reference, and disturbed ones beside it."""

    def __init__(self, folder: Path, seed: int, num_samples: int = NUM_SAMPLES) -> None:
        self.folder, self.random, self.trials = folder, random.Random(seed), Trials()
        self.num_samples = num_samples
        self.settings = (*SETTINGS, "--set", f"pretrain.num_samples={num_samples}")
        self.straight = folder / "straight"
        road.run("ingest", self.straight)
        road.run("train", self.straight, "--stage", "pretrain", *self.settings)
        self.check_epochs()

    def fresh(self) -> Path:
        """Return the storage of a new run: the ingested images alone."""
        self.trials.runs += 1
        storage = self.folder / f"run-{self.trials.runs}"
        shutil.copytree(self.straight / "smoke" / "images", storage / "smoke" / "images")
        return storage

    def kill(self, kill: Callable[[], None], process: subprocess.Popen[bytes], log: Path) -> None:
        """Kill a part of a run that goes on by itself, and time it until its log says that it trains again."""
        starts = log.read_text(errors="replace").count(STARTS)
        kill()
        killed_at = time.monotonic()
        self.trials.kills += 1
        if wait_for(process, lambda: log.read_text(errors="replace").count(STARTS) > starts):
            self.trials.seconds_to_training.append(time.monotonic() - killed_at)

    def check_epochs(self) -> None:
        """Assert that the reference itself used each training image exactly once per epoch."""
        samples = [members[0] for step in read_journal(journal_of(self.straight)) for members in step.samples]
        images = read_manifest(str(self.straight / "smoke" / "images")).num_train
        assert len(samples) == self.num_samples
        for begin in range(0, len(samples) - images + 1, images):
            assert len(set(samples[begin : begin + images])) == images, f"epoch at {begin} doubles an image"

    def check(self, storage: Path) -> None:
        """Assert that a disturbed run ended with the reference's samples and the reference's weights."""
        assert read_journal(journal_of(storage)) == read_journal(journal_of(self.straight))
        folders = [checkpoint_of(self.straight), checkpoint_of(storage)]
        for name in TENSORS:
            first, second = (read_tensors(folder, name) for folder in folders)
            assert first.keys() == second.keys()
            different = [key for key, value in first.items() if not torch.equal(value, second[key])]
            assert not different, f"{name}: {different[:5]}"


def journal_of(storage: Path) -> str:
    """Return where a run keeps its journal."""
    return str(storage / "smoke" / "stages" / "pretrain" / "journal")


def checkpoint_of(storage: Path) -> Path:
    """Return a finished run's checkpoint."""
    done = read_done(str(storage / "smoke" / "stages"), "pretrain")
    assert done is not None, "the run did not end"
    return Path(done.checkpoint)


def kill_workers(chaos: Chaos, times: int, latest: float = 20.0) -> None:
    """Kill training workers of a run that goes on by itself, each at most `latest` seconds after it came up."""
    while chaos.trials.kills < times:
        storage, log = chaos.fresh(), chaos.folder / "worker.log"
        process = road.start("train", storage, "--stage", "pretrain", *chaos.settings, log=log)
        with ending(process):
            for _ in range(min(KILLS_PER_RUN, times - chaos.trials.kills)):
                worker = next_worker(process)
                if worker is None:
                    break
                pause(process, chaos.random.uniform(0, latest))
                if process.poll() is not None or not worker.is_running():
                    break
                chaos.kill(worker.kill, process, log)
            assert process.wait(timeout=RUN_SECONDS) == 0, log.read_text(errors="replace")[-3000:]
        chaos.check(storage)


def kill_drivers(chaos: Chaos, times: int, after: str = "", latest: float = 30.0) -> str:
    """Kill drivers with all of their local Ray, at most `latest` seconds after a text of their log, and go on.

    The same command is given again each time; the log of the last run that ended is returned.
    """
    text = ""
    while chaos.trials.kills < times:
        storage, log = chaos.fresh(), chaos.folder / "driver.log"
        for _ in range(min(KILLS_PER_RUN, times - chaos.trials.kills)):
            process = road.start("train", storage, "--stage", "pretrain", *chaos.settings, log=log)
            wait_for(process, lambda: after in log.read_text(errors="replace"))  # noqa: B023
            pause(process, chaos.random.uniform(0, latest))
            if process.poll() is not None:
                break
            kill_tree(process)
            chaos.trials.kills += 1
        text = road.run("train", storage, "--stage", "pretrain", *chaos.settings)
        chaos.check(storage)
    return text


def kill_nodes(chaos: Chaos, times: int) -> None:
    """Kill the node that trains; another takes over."""
    needs = ("--set", "resources.worker_resources={trainer: 1}", "--set", "resources.cpus_per_worker=1")
    while chaos.trials.kills < times:
        storage, log = chaos.fresh(), chaos.folder / "node.log"
        with NodeCluster() as cluster:
            cluster.start_head()
            cluster.add_node(resources={"trainer": 1})
            process = cluster.submit(job_line(chaos, storage, *needs), log)
            for _ in range(min(2, times - chaos.trials.kills)):
                wait_for(process, lambda: STARTS in log.read_text(errors="replace"))  # noqa: B023
                cluster.add_node(resources={"trainer": 1})
                pause(process, chaos.random.uniform(0, 15))
                trains = [node for node in cluster.workers if find_workers(node.process.pid)]
                if process.poll() is not None or not trains:
                    break
                cluster.workers.remove(trains[0])
                chaos.kill(trains[0].kill, process, log)
            assert process.wait(timeout=RUN_SECONDS) == 0, log.read_text(errors="replace")[-3000:]
        chaos.check(storage)


def kill_heads(chaos: Chaos, times: int) -> None:
    """Kill the head, start the cluster again and submit the same job again."""
    for _ in range(times):
        storage, log = chaos.fresh(), chaos.folder / "head.log"
        with NodeCluster() as cluster:
            cluster.start_head()
            cluster.add_node()
            process = cluster.submit(job_line(chaos, storage), log)
            wait_for(process, lambda: STARTS in log.read_text(errors="replace"))  # noqa: B023
            pause(process, chaos.random.uniform(0, 15))
            cluster.kill_head()
            kill_tree(process)
            chaos.trials.kills += 1
            cluster.start_head()
            cluster.run(job_line(chaos, storage), log)
        chaos.check(storage)


def job_line(chaos: Chaos, storage: Path, *settings: str) -> str:
    """Return the command of a submitted job; values with spaces are quoted."""
    words = [f"'{word}'" if " " in word else word for word in (*chaos.settings, *settings)]
    return f"python jobs/train.py --config smoke --stage pretrain --set storage={storage} {' '.join(words)}"


def next_worker(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    """Wait for a training worker of a run; None if the run ends first."""
    while process.poll() is None:
        try:
            if workers := find_workers(process.pid):
                return workers[0]
        except psutil.Error:
            continue
        time.sleep(0.05)
    return None


def pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Let a run go on for some time, or to its end."""
    wait_for(process, lambda: False, seconds)


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool], seconds: float = RUN_SECONDS) -> bool:
    """Wait until a condition holds; False if the run or the time ends first."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave nothing running when an assertion fails."""
    try:
        yield
    finally:
        if process.poll() is None:
            kill_tree(process)


SCENARIOS = {"worker": kill_workers, "driver": kill_drivers, "node": kill_nodes, "head": kill_heads}


def main() -> None:
    """Run one scenario and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=tuple(SCENARIOS), required=True)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what was started is ended
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), options.seed)
        SCENARIOS[options.what](chaos, options.times)
    trials = chaos.trials
    print(f"{trials.kills} kills of a {options.what} in {trials.runs} runs: every run ended,")
    print("every sample was used exactly once; weights, averages and optimizer identical bit for bit")
    if seconds := trials.seconds_to_training:
        print(f"from kill to training again: median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s")


if __name__ == "__main__":
    main()
