"""The loop of a worker, without Ray: what is reported and saved when, and that saving does not touch training."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusegae.checkpoint import Position, read_meta, read_tensors
from diffusegae.data.feed import FeedBatch
from diffusegae.training import worker
from diffusegae.training.job import TrainingJob
from diffusegae.training.save_clock import SaveClock
from diffusegae.training.source import WorkerFeed
from diffusegae.training.step import TrainingError, TrainingState
from tests.tiny import smoke_config
from tests.training.test_step import SCHEMA, batch_for, make_state

BATCH, REPORT, SAVE = 8, 32, 48
SETTINGS = (
    *("pretrain.num_samples=160", f"pretrain.batch_size={BATCH}", f"pretrain.report_every_samples={REPORT}"),
    *(f"pretrain.checkpoint_every_samples={SAVE}", "pretrain.best_by=simple", "pretrain.learning_rate=0.001"),
)


class NoiseFeed(WorkerFeed):
    """Noise instead of what is stored: a batch of its own at every count of samples."""

    def __init__(self, job: TrainingJob, state: TrainingState, seconds: float) -> None:
        super().__init__(job, torch.device("cpu"), rank=0, world_size=1)
        self.state, self.seconds, self.now = state, seconds, 0.0

    def held_out(self) -> None:
        """Hold nothing out."""

    def clock(self) -> float:
        return self.now

    def batches(self) -> Iterator[tuple[torch.Tensor, FeedBatch]]:
        """Yield batches without end, one every so many seconds."""
        while True:
            seen = self.state.samples_seen
            noise = batch_for(self.state.stage, BATCH, seed=seen)
            yield noise, FeedBatch({}, BATCH, 1, {0: Position(offset=seen + BATCH)})
            self.now += self.seconds


@dataclass
class Run:
    """What a loop told Ray."""

    state: TrainingState
    folder: Path
    reports: list[dict[str, Any]] = field(default_factory=list)

    def saved(self) -> list[int]:
        """Return the counts of samples of the checkpoints, in the order of their saving."""
        return [report["metrics"]["samples_seen"] for report in self.reports if report["checkpoint"] is not None]


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0, begin: Path | None = None, *overrides: str
) -> Run:
    """Run the loop over noise, a step taking so many seconds of the clock, from a checkpoint or from the beginning."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    state = make_state("pretrain", *SETTINGS, *overrides)
    if begin is not None:
        state.restore(lambda name: read_tensors(begin, name), read_meta(begin).samples_seen)
    job = TrainingJob(
        stage="pretrain", config=smoke_config(*SETTINGS, *overrides), attributes=SCHEMA, rows="", folder=str(folder)
    )
    source, told = NoiseFeed(job, state, seconds), Run(state, folder)

    def report(metrics: dict[str, float], checkpoint: Any, checkpoint_upload_fn: Any, **how: Any) -> None:
        told.reports.append({"metrics": metrics, "checkpoint": checkpoint, **how})
        if checkpoint is not None:
            checkpoint_upload_fn(checkpoint, how["checkpoint_dir_name"])

    monkeypatch.setattr(worker.ray.train, "report", report)
    monkeypatch.setattr(worker.ray.train, "get_preemption_info", lambda: None)
    loop = worker._Loop(job, state, source, [Position()], 0.0, 0.0)
    loop.clock = SaveClock(60 * job.settings.checkpoint_every_minutes, clock=source.clock)
    loop.run(source.batches())
    return told


def test_checkpoints_come_by_count_also_between_two_reports_and_by_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_count = run(tmp_path / "count", monkeypatch)
    assert by_count.saved() == [48, 96, 144, 160]
    assert [report["metrics"]["samples_seen"] for report in by_count.reports] == [32, 48, 64, 96, 128, 144, 160]
    slow = run(tmp_path / "slow", monkeypatch, 100.0)  # 3 steps make 5 minutes
    assert slow.saved() == [32, 48, 72, 96, 120, 144, 160]
    assert run(tmp_path / "never", monkeypatch, 100.0, None, "pretrain.checkpoint_every_minutes=0").saved() == [
        48, 96, 144, 160,
    ]  # fmt: skip


def test_saving_by_time_changes_neither_weights_nor_reports_nor_which_checkpoint_is_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, slow = run(tmp_path / "fast", monkeypatch), run(tmp_path / "slow", monkeypatch, 100.0)
    for name, value in fast.state.stage.model.state_dict().items():
        assert torch.equal(value, slow.state.stage.model.state_dict()[name]), name

    def scores(told: Run) -> dict[int, float]:
        notes = [report["metrics"] for report in told.reports if report["checkpoint"] is not None]
        return {note["samples_seen"]: note["pretrain/simple"] for note in notes}

    judged = {seen: score for seen, score in scores(slow).items() if score == score}
    assert judged == scores(fast)
    assert set(scores(slow)) - set(judged) == {32, 72, 120}  # 32 at a report of metrics, too


def test_a_run_goes_on_from_a_checkpoint_saved_by_time_as_if_it_had_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = run(tmp_path / "straight", monkeypatch, 100.0)
    begin = tmp_path / "straight" / "run" / "checkpoint_000000000072"
    assert read_meta(begin).positions == (Position(offset=72),)
    resumed = run(tmp_path / "resumed", monkeypatch, 7.0, begin)
    assert resumed.saved() == [96, 144, 160]
    for name, tensors in straight.state.tensors().items():
        for key, value in tensors.items():
            assert torch.equal(value, resumed.state.tensors()[name][key]), (name, key)


def test_no_checkpoint_by_time_holds_what_is_not_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="is (nan|inf); lower"):
        run(tmp_path / "run", monkeypatch, 1000.0, None, "pretrain.learning_rate=1e30")
    assert not list((tmp_path / "run" / "run").glob("checkpoint_*/meta.json"))
