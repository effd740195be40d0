"""Measuring a method: what is known of it is found, what it cannot do is absent, and it costs what was planned."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusegae.comparison import measuring
from diffusegae.comparison.measured import Measured
from diffusegae.comparison.measuring import measure_method
from diffusegae.config.model import SamplingConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Images, Method
from diffusegae.images import to_tensor
from diffusegae.metrics.batched import Progress
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.probe import LabelledCodes, measure_probe_matrix, split_in_proportion
from diffusegae.metrics.smoothness import draw_pairs, measure_smoothness, summarise
from diffusegae.schema import AttributeSchema
from tests.comparison.conftest import CONFIG, Blur, Oracle

Found = dict[str, Measured]


def test_the_doubles_are_methods(painted: ImageLookup, painted_schema: AttributeSchema) -> None:
    assert isinstance(Oracle(painted, painted_schema), Method)
    assert isinstance(Blur(painted_schema), Method)


def test_who_returns_the_truth_is_judged_as_the_truth_is(measured: Found, judging: Judging) -> None:
    metrics, plan = measured["oracle"].metrics, judging.plan
    truths = judging.score_truths()
    assert truths is not None
    for name, share in truths.right.items():
        assert metrics[f"counterfactual/recombine/{name}/right"] == share
        assert metrics[f"judge/truths/{name}/right"] == share
    assert metrics["counterfactual/recombine/all_right"] == metrics["judge/truths/all_right"] == truths.all_right
    read = judging.judge.predict(judging.images(plan.replaced_truths.reshape(-1))).numpy()
    right = read.reshape(len(plan.sources), 3, 3) == plan.replaced_labels
    swapped = np.eye(3, dtype=bool)
    assert metrics["counterfactual/replace/swapped_right"] == pytest.approx(right[:, swapped].mean())
    assert metrics["counterfactual/replace/kept_right"] == pytest.approx(right[:, ~swapped].mean())
    for kind in ("counterfactual/replace", "counterfactual/recombine", "reconstruct/inferred", "reconstruct/random"):
        assert metrics[f"{kind}/mse"] == metrics[f"{kind}/lpips"] == 0
        assert metrics[f"{kind}/ssim"] == pytest.approx(1)


def test_the_frechet_distance_of_the_true_images_is_none(measured: Found) -> None:
    oracle, blurred = measured["oracle"].metrics, measured["diffae"].metrics
    assert oracle["reconstruct/random/fd_vgg16"] == pytest.approx(0, abs=1e-3)
    assert blurred["reconstruct/random/fd_vgg16"] > 1
    assert oracle["recombine/fd_vgg16"] > 0  # other images of the same set
    # More recombinations than the plan scores.
    assert oracle["recombine/fd_count"] == CONFIG.compare.num_generated == 10
    assert oracle["counterfactual/recombine/count"] == 6


def test_parts_are_read_where_they_lie(measured: Found) -> None:
    metrics = measured["oracle"].metrics
    assert metrics["probe/is_divided"] == 1
    assert metrics["code/width"] == 6 + 4 + 5  # without the code's constant beginning and end
    for name in ("vehicle", "ground", "pose"):
        assert metrics[f"probe/{name}/{name}"] == 1
        assert metrics[f"silhouette/part/{name}"] > metrics[f"silhouette/full/{name}"]
    assert metrics["silhouette/part/ground"] == pytest.approx(1)
    assert metrics["part_dci/disentanglement"] > 0.9
    assert metrics["probe/ground/pose"] < 0.6


def test_an_undivided_code_is_cut_in_proportion(
    measured: Found, judging: Judging, painted_schema: AttributeSchema
) -> None:
    metrics, schema = measured["diffae"].metrics, painted_schema
    assert metrics["probe/is_divided"] == 0
    codes = [
        LabelledCodes(Blur(schema).encode(to_tensor(images.images)).numpy(), images.labels)
        for images in (judging.train, judging.test)
    ]
    parts = split_in_proportion(schema.widths, 48)
    expected = measure_probe_matrix(*codes, parts, schema.names, schema.cardinalities)
    assert expected.as_metrics().items() <= dict(metrics).items()
    assert metrics["chance/ground"] == 0.25


def test_what_a_method_cannot_do_is_absent(measured: Found) -> None:
    for name in ("diffae", "ddim"):
        found = measured[name]
        assert not [metric for metric in found.metrics if metric.startswith(("counterfactual", "recombine"))]
        assert found.examples.keys() >= {"inferred", "random", "interpolated", "sources", "givers"}
        assert not found.examples.keys() & {"replaced", "recombined", "interpolated_single"}
    assert measured["ddim"].codes is None
    assert not [metric for metric in measured["ddim"].metrics if metric.startswith(("probe", "dci", "silhouette"))]
    assert "ppl/T2" not in measured["oracle"].metrics


def test_every_figure_is_finite(measured: Found) -> None:
    for found in measured.values():
        assert all(np.isfinite(value) and isinstance(value, float) for value in found.metrics.values())


def test_edits_take_edit_steps_and_inferred_noise_the_configs(
    editor: Editor, judging: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []

    def reconstruct(self: Editor, images: Images, seeds: Sequence[int] | None = None) -> Images:
        calls.append(("inferred" if seeds is None else "random", self.sampling.steps))
        return images

    monkeypatch.setattr(Editor, "reconstruct", reconstruct)
    measure_method("ours", editor.with_sampling(SamplingConfig(steps=50)), None, judging, measures_codes=False)
    assert set(calls) == {("inferred", 4), ("random", 2)}


def test_the_editors_figures_are_its_own(measured: Found, editor: Editor, judging: Judging) -> None:
    plan, quick = judging.plan, editor.with_sampling(judging.edit_sampling)
    images = judging.images(plan.reconstructed)
    random = quick.reconstruct(images, judging.seeds(plan.reconstructed))
    scores = judging.score(random, images, judging.labels(plan.reconstructed))
    metrics = measured["diffusegae"].metrics
    assert metrics["reconstruct/random/mse"] == pytest.approx(scores.closeness.mse, rel=1e-4)
    edited = quick.edit(judging.images(plan.sources), {"pose": judging.images(plan.donors)})
    shown = measured["diffusegae"].examples["replaced"]
    difference = np.abs(to_tensor(shown[:, 2]).numpy() - edited[:2].numpy())
    assert difference.max() <= 1.01 / 127.5


def test_paths_keep_every_pair_more_of_them_at_fewer_steps(measured: Found, editor: Editor, judging: Judging) -> None:
    from diffusegae.metrics.features import LpipsDistance
    from diffusegae.metrics.smoothness import DdimPath, PathSettings

    found = measured["diffusegae"]
    lengths = found.examples["ppl_T2"]
    assert lengths.shape == (12,)
    assert found.examples["ppl_T4"].shape == (6,)
    assert (found.metrics["ppl/T2_pairs"], found.metrics["ppl/T4_pairs"]) == (12, 6)
    assert summarise(lengths).mean == pytest.approx(found.metrics["ppl/T2"])
    path, pairs = DdimPath(editor), draw_pairs(len(judging.test.images), 12, CONFIG.seed)
    # Lengths this short are rounding in part, which batches of one size share.
    codes = torch.cat([path.encode(images) for images in to_tensor(judging.test.images).split(4)])
    starts, ends = codes[pairs[:, 0]], codes[pairs[:, 1]]
    distance = LpipsDistance.from_package("vgg16")
    expected = measure_smoothness(path, starts, ends, distance, PathSettings(CONFIG.seed, 4), [2])
    assert found.metrics["ppl/T2"] == pytest.approx(expected.by_steps[2].mean, rel=0.02)


def test_a_path_must_encode(editor: Editor, judging: Judging) -> None:
    class Headless:
        image_size = 32

        def generate(self, codes: Images, x_T: Images, steps: int) -> Images:
            return x_T

    with pytest.raises(TypeError, match="Headless has no encode"):
        measure_method("ours", editor, Headless(), judging)


def test_without_weights_the_rest_is_measured(
    painted: ImageLookup, painted_schema: AttributeSchema, judging: Judging, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("diffusegae.metrics.features.PACKAGE", "a_package_that_is_not_installed")
    method = Oracle(painted, painted_schema)
    with caplog.at_level(logging.WARNING):
        found = measure_method("oracle", method, None, replace(judging, perceptual=None), measures_codes=False)
    assert not [metric for metric in found.metrics if "fd_" in metric or "lpips" in metric]
    assert found.metrics["counterfactual/recombine/mse"] == 0
    assert "fd_vgg16 not measured" in caplog.text


def test_the_work_planned_is_the_work_done(editor: Editor, judging: Judging, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusegae.metrics.smoothness import DdimPath

    made: list[Progress] = []

    def make(planned: int, rate: float = 0.0, job: str = "") -> Progress:
        made.append(Progress(planned, rate, job))
        return made[-1]

    monkeypatch.setattr(measuring, "Progress", make)
    for method, path in ((editor, DdimPath(editor)), (Blur(editor.schema), None)):
        measure_method("any", method, path, judging)
    assert [progress.done for progress in made] == [progress.planned for progress in made]


def test_measured_comes_back_from_its_file(measured: Found, tmp_path: Path) -> None:
    for name in ("diffusegae", "ddim"):
        found = measured[name]
        found.save(tmp_path / "examples.npz")
        again = Measured.load(tmp_path / "examples.npz", found.metrics)
        assert again.metrics == found.metrics
        assert again.examples.keys() == found.examples.keys()
        assert all(np.array_equal(array, found.examples[key]) for key, array in again.examples.items())
        if found.codes is None:
            assert again.codes is None
        else:
            assert again.codes is not None
            assert np.array_equal(again.codes.points, found.codes.points)
            assert again.codes.silhouettes == found.codes.silhouettes
