"""Judging from end to end: two tiny models on a painted set, once, and what comes of it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusegae.data.lookup import ImageLookup
from diffusegae.diffusion.process import noise_for_seeds
from diffusegae.metrics import judging as judging_module
from diffusegae.metrics.evaluation import Evaluation
from diffusegae.metrics.judging import prepare_judging
from diffusegae.schema import AttributeSchema
from tests.metrics.conftest import EVALUATION_CONFIG

PICTURES = {"recombination", "replacement", "reconstruction", "interpolation", "single-interpolation", "tsne"}


def test_every_figure_of_every_editor_is_there(evaluation: tuple[Evaluation, Path]) -> None:
    metrics = evaluation[0].metrics
    for editor in ("stage 2", "stage 3"):
        for name in (
            "probe/vehicle/pose", "probe/full/ground", "probe/z_sem/pose", "probe/mean_excess",
            "reconstruct/inferred/mse", "reconstruct/inferred/ssim", "reconstruct/random/mse",
            "reconstruct/random/vehicle/right", "reconstruct/edit_steps/pose/right",
            "counterfactual/replace/swapped_right", "counterfactual/replace/kept_right",
            "counterfactual/replace/ground/swapped_right", "counterfactual/replace/mse",
            "counterfactual/recombine/pose/right", "counterfactual/recombine/ssim",
        ):  # fmt: skip
            assert f"eval/{editor}/{name}" in metrics
    assert metrics["eval/chance/ground"] == 0.25
    assert metrics["eval/stage 3/counterfactual/replace/count"] == 6
    assert "eval/judge/pose/accuracy" in metrics


def test_names_are_ones_that_mlflow_takes(evaluation: tuple[Evaluation, Path]) -> None:
    for name in evaluation[0].metrics:
        assert re.fullmatch(r"[A-Za-z0-9_\-. /]+", name), name


def test_figures_and_pictures_are_written(evaluation: tuple[Evaluation, Path]) -> None:
    found, output = evaluation
    assert json.loads((output / "metrics.json").read_text()) == found.metrics
    assert {path.stem for path in (output / "pictures").iterdir()} == PICTURES
    assert {picture.name for picture in found.pictures} == PICTURES


def test_notes_say_how_many_and_how(evaluation: tuple[Evaluation, Path]) -> None:
    notes = " ".join(evaluation[0].notes)
    assert "4 held-out images; inferred x_T with ddim at T = 4, random x_T with 2 steps" in notes
    assert "2 held-out sources × 3 attributes = 6 edits" in notes


def test_the_judge_is_trained_once(
    evaluation: tuple[Evaluation, Path],
    painted: ImageLookup,
    painted_schema: AttributeSchema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(judging_module, "train_classifier", refuse)
    again = prepare_judging(painted, EVALUATION_CONFIG, painted_schema, evaluation[1])
    assert again.judge.held_out_accuracy == tuple(evaluation[0].judge_accuracy.values())
    other = EVALUATION_CONFIG.model_copy(update={"seed": 1})
    with pytest.raises(AssertionError, match="trained again"):
        prepare_judging(painted, other, painted_schema, evaluation[1])


def test_lpips_without_weights_is_named_and_the_rest_measured(
    evaluation: tuple[Evaluation, Path],
    painted: ImageLookup,
    painted_schema: AttributeSchema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diffusegae.metrics.features.PACKAGE", "a_package_that_is_not_installed")
    judging = prepare_judging(painted, EVALUATION_CONFIG, painted_schema, evaluation[1])
    assert any("lpips_alex not measured" in note for note in judging.notes)
    truths = judging.score_truths()
    assert truths is not None
    assert truths.closeness.lpips is None
    assert truths.closeness.ssim == pytest.approx(1.0)


def test_another_seed_of_the_config_gives_other_noise(
    painted: ImageLookup, painted_schema: AttributeSchema, evaluation: tuple[Evaluation, Path]
) -> None:
    judging = prepare_judging(painted, EVALUATION_CONFIG, painted_schema, evaluation[1])
    rows = np.arange(3)
    noise = []
    for seed in (0, 1):
        config = EVALUATION_CONFIG.model_copy(update={"seed": seed})
        noise.append(noise_for_seeds(replace(judging, config=config).seeds(rows), (4,), "cpu"))
    assert len(torch.cat(noise).unique(dim=0)) == 6
