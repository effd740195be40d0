"""Batches of a few sizes in place of any: padding changes nothing, sizes are recorded once, threads wait in turn."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diffusegae.editing.buckets import Buckets, Inputs, Recording
from diffusegae.models.unet import Condition, UNet
from tests.tiny import random_images, smoke_config, tiny_model, tiny_schema

Batch = tuple[Tensor, Tensor, Condition]


class Recorder:
    """Records by calling again at every replay, as a graph does, into the output of the first call."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, call: Callable[[], Tensor]) -> Recording:
        output = call().clone()
        self.sizes.append(len(output))
        return Recording(lambda: output.copy_(call()), output)


@pytest.fixture(scope="module")
def unet() -> UNet:
    return tiny_model(smoke_config("model.unet.canvas=true"), tiny_schema(8, 8, 8)).unet.requires_grad_(False)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def buckets(unet: UNet, recorder: Recorder) -> Buckets:
    return Buckets(unet.denoise, unet.denoise, (1, 2, 4), recorder)


def a_batch(unet: UNet, count: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(1000, (count,), generator=generator)
    return random_images(count, seed=seed), t, unet.condition(torch.randn(count, 32, generator=generator))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_a_batch_of_any_size_gets_what_the_network_gives(unet: UNet, buckets: Buckets, count: int) -> None:
    batch = a_batch(unet, count)
    found = buckets(*batch)
    assert found.shape == batch[0].shape
    torch.testing.assert_close(found, unet.denoise(*batch), atol=1e-5, rtol=1e-5)


def test_what_an_earlier_batch_left_behind_changes_nothing(unet: UNet, buckets: Buckets) -> None:
    clean = Buckets(unet.denoise, unet.denoise, (4,), Recorder())(*a_batch(unet, 3))
    buckets(torch.full((4, 3, 32, 32), torch.nan), *a_batch(unet, 4, seed=1)[1:])
    assert torch.equal(buckets(*a_batch(unet, 3)), clean)


def test_each_size_is_recorded_once_and_larger_batches_never(unet: UNet, buckets: Buckets, recorder: Recorder) -> None:
    for count in (3, 4, 1, 3, 5, 1, 2):
        buckets(*a_batch(unet, count))
    assert recorder.sizes == [4, 1, 2]


def test_a_result_outlives_the_next_call(unet: UNet, buckets: Buckets) -> None:
    first = buckets(*a_batch(unet, 2))
    kept = first.clone()
    buckets(*a_batch(unet, 2, seed=1))
    assert torch.equal(first, kept)


def test_a_condition_is_copied_when_it_is_another_one(unet: UNet) -> None:
    x_t, t, condition = a_batch(unet, 2)
    inputs = Inputs(4, x_t, t, condition)
    inputs.fill(x_t, t, condition)
    inputs.condition.style.zero_()
    inputs.fill(x_t + 1, t, condition)
    assert not inputs.condition.style.any()
    assert torch.equal(inputs.first(2)[0], x_t + 1)
    inputs.fill(x_t, t, Condition(*condition))
    assert torch.equal(inputs.condition.style[:2], condition.style)


def test_threads_get_their_own_results(unet: UNet, buckets: Buckets) -> None:
    batches = [a_batch(unet, count, seed=count) for count in (1, 2, 3, 4)]
    wrong: list[int] = []

    def ask(number: int) -> None:
        expected = unet.denoise(*batches[number])
        for _ in range(20):
            if not torch.allclose(buckets(*batches[number]), expected, atol=1e-5, rtol=1e-5):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_buffers_made_in_inference_mode_may_be_written_to_outside(unet: UNet) -> None:
    batch = a_batch(unet, 2)
    with torch.inference_mode():
        inputs = Inputs(4, *batch)
    inputs.fill(*batch)
    assert torch.equal(inputs.first(2)[0], batch[0])
