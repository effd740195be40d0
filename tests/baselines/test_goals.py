"""What the goals of every baseline must do: gradients in what they train alone, and losses that stay float32."""

import pytest
import torch

from diffusegae.baselines.baseline import Baseline, Samples
from diffusegae.baselines.table import BASELINES
from diffusegae.config.baselines import BaselineName
from tests.baselines.alternation import gradients, names_below
from tests.baselines.short_training import generator, tiny_baseline
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)


def make(name: BaselineName) -> Baseline:
    config = smoke_config("baselines.pdae.encoder_widths=[8,16,16,16]")
    return tiny_baseline(BASELINES[name], config, SCHEMA)


def samples_for(name: BaselineName) -> Samples:
    members = 4 if name == "gzsnet" else 1
    labels = torch.arange(4)[:, None, None].expand(4, members, 3).contiguous()
    return Samples(random_images(4 * members).unflatten(0, (4, members)), labels)


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_goal_leaves_gradients_in_what_it_trains_alone(name: BaselineName) -> None:
    baseline = make(name)
    learning = {key for key, parameter in baseline.named_parameters() if parameter.requires_grad}
    for goal in baseline.goals():
        assert gradients(baseline, goal, samples_for(name)).keys() == names_below(baseline, list(goal.trains))
        assert {key for key, parameter in baseline.named_parameters() if parameter.requires_grad} == learning


@pytest.mark.parametrize("name", list(BASELINES))
def test_losses_stay_float32_under_autocast(name: BaselineName) -> None:
    baseline, samples = make(name), samples_for(name)
    for goal in baseline.goals():
        exact, _ = goal.measure(samples, generator())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, _ = goal.measure(samples, generator())
        loss.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact, atol=0.05, rtol=0.05)
