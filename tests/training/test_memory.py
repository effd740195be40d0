"""The fewest pieces that fit, and how a stage finds them."""

import pytest
import torch

from diffusegae.training import step
from diffusegae.training.memory import fewest_pieces
from diffusegae.training.step import TrainingError
from tests.training.test_step import batch_for, make_state


@pytest.mark.parametrize(("largest", "pieces"), [(64, 1), (32, 2), (31, 4), (9, 8), (1, 64), (0, 0)])
def test_pieces_are_doubled_until_they_fit(largest: int, pieces: int) -> None:
    tried = []

    def fits(count: int) -> bool:
        tried.append(count)
        return -(-64 // count) <= largest

    assert fewest_pieces(64, fits) == pieces
    assert tried == [2**k for k in range(len(tried))]


def test_a_batch_of_an_odd_size_ends_at_single_samples() -> None:
    assert fewest_pieces(5, lambda count: count == 5) == 5
    assert fewest_pieces(5, lambda _: False) == 0


def test_a_cpu_takes_a_batch_whole() -> None:
    state = make_state("refine", "refine.accumulate=auto")
    state.step(batch_for(state.stage))
    assert state.pieces == 1


def fitting(state: step.TrainingState, monkeypatch: pytest.MonkeyPatch, samples: int) -> int:
    """Let a state find its pieces where only so many samples fit; the work is really done, on the CPU."""
    seen: list[int] = []
    forward = state.stage.objectives[0].module.forward

    def counting(batch: torch.Tensor, draws: object) -> object:
        seen.append(len(batch))
        return forward(batch, draws)

    def fits(work: object, reserve: int, device: object) -> bool:
        assert reserve == sum(2 * 4 * p.numel() for _, p in state.stage.objectives[0].named_parameters())
        work()  # type: ignore[operator]
        return seen[-1] <= samples

    monkeypatch.setattr(state.stage.objectives[0].module, "forward", counting)
    monkeypatch.setattr(step, "fits_memory", fits)
    monkeypatch.setattr(step, "generator_at", lambda *place, **_: torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in state.stage.model.state_dict().items()}
    monkeypatch.setattr(state, "device", type("Device", (), {"type": "cuda"})())
    monkeypatch.setattr(step, "autocast", lambda precision, _: torch.autocast("cpu", enabled=False))
    pieces = state._fit_memory(batch_for(state.stage))
    assert all(p.grad is None for p in state.stage.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in state.stage.model.state_dict().items())
    return pieces


def test_a_gpu_takes_the_largest_piece_that_fits_and_the_attempt_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fitting(make_state("refine", "refine.accumulate=auto"), monkeypatch, samples=3) == 4


def test_a_sample_that_does_not_fit_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="one sample does not fit .* take a smaller model"):
        fitting(make_state("refine", "refine.accumulate=auto"), monkeypatch, samples=0)
