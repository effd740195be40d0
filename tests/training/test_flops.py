"""FLOPs: closed forms, PyTorch's own counter as the independent library, and that counting leaves no trace."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.table import BASELINES
from diffusegae.training.flops import FlopCounter, flops_of_step, matrix_product_rate
from diffusegae.training.stages import Objective, ObjectiveModule, StageName
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from tests.training.test_step import batch_for, make_state

CPU = torch.device("cpu")


def batch_of(state: TrainingState, samples: int = 8) -> torch.Tensor | Samples:
    images = batch_for(state.stage, samples)
    if state.stage.name not in BASELINES:
        return images
    return Samples(images, torch.arange(samples * images.shape[1] * 3).reshape(samples, -1, 3) % 4)


class Product(ObjectiveModule):
    """A product of [30, 4] by [4, 5] per sample: weights that need a gradient, a batch that needs none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 5))

    def draw(self, batch: torch.Tensor, generator: torch.Generator) -> None:
        return None

    def forward(self, batch: torch.Tensor, draws: None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return (batch.reshape(-1, 4) @ self.weight).sum(), {}


def test_a_product_is_counted_by_its_closed_form_and_by_how_often_it_runs() -> None:
    module = Product()
    objectives = [Objective("each", module, {"all": module}), Objective("rare", module, {"all": module}, every=4)]
    forward = 2 * 30 * 4 * 5
    for samples in (1, 2, 3, 7, 64):
        batch = torch.randn(samples, 30, 4)
        assert flops_of_step(objectives[:1], batch, 30, CPU) == 2 * samples * forward  # and the weight's gradient
        assert flops_of_step(objectives, batch, 1, CPU) == 2.5 * samples * forward


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_on_the_cpu_is_counted_by_its_closed_form(dtype: torch.dtype) -> None:
    batch, heads, length, width = 2, 3, 16, 32
    q, k, v = (torch.randn(batch, heads, length, width, dtype=dtype, requires_grad=True) for _ in range(3))
    product = 2 * batch * heads * length * length * width
    with FlopCounter() as counter:
        attended = F.scaled_dot_product_attention(q, k, v)
    assert counter.flops == 2 * product
    with FlopCounter() as counter:
        torch.autograd.grad(attended.float().sum(), [q, k, v])
    assert counter.flops == 5 * product  # the scores are computed again


@pytest.mark.parametrize("name", ["pretrain", "refine", "finetune", "gzsnet"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_count_is_that_of_pytorchs_counter_over_a_real_step(name: StageName, precision: str) -> None:
    at = f"baselines.{name}" if name in BASELINES else name
    state = make_state(name, f"{at}.precision={precision}")
    batch = batch_of(state, samples=2)
    with sdpa_kernel(SDPBackend.MATH):  # PyTorch's counter knows no other attention on a CPU
        counted = flops_of_step(state.stage.objectives, batch, 4, CPU)
        with FlopCounterMode(display=False) as reference:
            state.step(batch)
    assert counted == reference.get_total_flops()


@pytest.mark.parametrize("name", STAGES)
def test_counting_leaves_the_state_and_the_generators_as_they_were(name: StageName) -> None:
    state = make_state(name, "model.unet.dropout=0.1", "model.gae.dropout=0.1")
    batch = batch_of(state)
    state.step(batch)
    watched = [state.stage.model, state.ema.module, *(o.module for o in state.stage.objectives)]
    before = copy.deepcopy([dict(each.state_dict()) for each in watched])
    gradients = {key: p.grad.clone() for key, p in state.stage.model.named_parameters() if p.grad is not None}
    wanted = {key: p.requires_grad for key, p in state.stage.model.named_parameters()}
    moments, place = copy.deepcopy(state.tensors()), torch.get_rng_state()
    assert flops_of_step(state.stage.objectives, batch, 4, CPU) > 0
    assert torch.equal(torch.get_rng_state(), place)
    for module, saved in zip(watched, before, strict=True):
        assert all(torch.equal(value, saved[key]) for key, value in module.state_dict().items())
    for key, parameter in state.stage.model.named_parameters():
        assert parameter.requires_grad == wanted[key]
        assert (parameter.grad is None) == (key not in gradients)
        assert parameter.grad is None or torch.equal(parameter.grad, gradients[key]), key
    for file, tensors in state.tensors().items():
        assert all(torch.equal(value, moments[file][key]) for key, value in tensors.items()), file


def test_counting_runs_no_gradient_hook_so_that_ddp_sees_nothing() -> None:
    state = make_state("pretrain")
    called: list[str] = []
    for key, parameter in state.stage.objectives[0].named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, key=key: called.append(key))
    flops_of_step(state.stage.objectives, batch_of(state), 1, CPU)
    assert not called
    state.step(batch_of(state))
    assert called


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_matrix_product_is_measured_without_drawing_from_the_global_generator(precision: str) -> None:
    place = torch.get_rng_state()
    assert matrix_product_rate(CPU, precision) > 1e8  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), place)
