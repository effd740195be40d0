"""The meter: rates, waits and shares against a clock that the test moves by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from diffusegae.data.feed import FeedBatch
from diffusegae.training.flops import flops_of_step
from diffusegae.training.meter import Meter, Pause
from tests.clock import Clock
from tests.training.test_step import batch_for, make_state

MEMBERS, BATCH = 4, 8


def batches(clock: Clock, waits: list[float]) -> Iterator[tuple[torch.Tensor, FeedBatch]]:
    """Yield batches of stage 3, each after its wait."""
    images = batch_for(make_state("finetune").stage, BATCH)
    for wait in waits:
        clock.now += wait
        yield images, FeedBatch({"image": np.zeros(BATCH * MEMBERS)}, BATCH, MEMBERS, {})


def test_figures_are_those_of_the_time_between_two_reports() -> None:
    clock, state = Clock(), make_state("finetune")
    assert state.stage.config.batch_size == BATCH
    meter = Meter(state, clock)
    handed = meter.waiting(batches(clock, [50.0, 0.25, 0.75, 1.0]))
    for step_seconds in (2.0, 4.0, 1.0):
        next(handed)
        clock.now += step_seconds
    figures = meter.figures()
    seconds = 2.0 + 0.25 + 4.0 + 0.75 + 1.0  # the wait for the first batch is start-up
    assert figures["step_seconds"] == pytest.approx(seconds / 3)
    assert figures["samples_per_second"] == pytest.approx(3 * BATCH / seconds)
    assert figures["images_per_second"] == pytest.approx(3 * BATCH * MEMBERS / seconds)
    assert figures["data_wait"] == pytest.approx(1.0 / seconds)
    assert "gpu_memory_gib" not in figures

    clock.now += 1000.0  # pictures and checkpoint of a report
    meter.restart()
    next(handed)
    clock.now += 3.0
    figures = meter.figures()
    assert figures["step_seconds"] == pytest.approx(4.0)
    assert figures["data_wait"] == pytest.approx(0.25)
    with pytest.raises(StopIteration):
        next(handed)


def test_a_checkpoint_between_two_reports_is_no_part_of_training() -> None:
    clock = Clock()
    meter = Meter(make_state("finetune"), clock)
    handed = meter.waiting(batches(clock, [0.0, 0.5]))
    next(handed)
    clock.now += 2.0
    with meter.paused():
        clock.now += 100.0
    next(handed)
    clock.now += 2.0
    assert meter.figures()["step_seconds"] == pytest.approx(4.5 / 2)


def test_mfu_is_the_share_of_a_matrix_product_that_steps_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diffusegae.training.meter.matrix_product_rate", lambda device, precision: 1e9)
    clock, state = Clock(), make_state("finetune")
    meter = Meter(state, clock)
    for _ in meter.waiting(batches(clock, [0.0, 0.0])):
        clock.now += 0.5
    of_step = flops_of_step(state.stage.objectives, batch_for(state.stage, BATCH), MEMBERS, state.device)
    assert meter.figures()["mfu"] == pytest.approx(of_step / 0.5 / 1e9)


def test_workers_that_do_not_report_measure_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> float:
        raise AssertionError("measured")

    monkeypatch.setattr("diffusegae.training.meter.flops_of_step", fail)
    clock, state = Clock(), make_state("finetune")
    state.rank = 1
    meter = Meter(state, clock)
    next(meter.waiting(batches(clock, [0.0])))
    clock.now += 1.0
    assert "mfu" not in meter.figures()


class Place:
    """An event of a GPU's queue at a time in ms."""

    def __init__(self, at: float) -> None:
        self.at = at

    def synchronize(self) -> None:
        """Wait for nothing."""

    def elapsed_time(self, later: "Place") -> float:
        return later.at - self.at


@pytest.mark.parametrize(
    ("host", "before", "after", "waited"),
    [(0.5, 100.0, 101.0, 0.001), (0.002, 100.0, 700.0, 0.002)],
    ids=["the loop waited while the GPU still worked", "the GPU waited for the loop, which had its batch"],
)
def test_only_what_loop_and_gpu_both_waited_counts(host: float, before: float, after: float, waited: float) -> None:
    pause = Pause(host, Place(before), Place(after))
    assert pause.seconds() == pytest.approx(waited)
