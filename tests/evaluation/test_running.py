"""Measuring a method: what is known of it is found, what it cannot do is absent, and a piece is what the whole is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffusegae.config.model import SamplingConfig
from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.splits import STRATA
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Images, Method
from diffusegae.evaluation.batched import InvertingMethod
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context
from diffusegae.evaluation.finish import with_distances
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.pieces import Piece, plan_pieces
from diffusegae.evaluation.references import REFERENCES
from diffusegae.evaluation.running import measure, run_piece
from diffusegae.pixels import to_tensor
from diffusegae.schema import AttributeSchema
from tests.evaluation.conftest import CONFIG, Blur, Oracle

Found = dict[str, Measured]


def test_the_doubles_are_methods(painted: ImageLookup, painted_schema: AttributeSchema, editor: Editor) -> None:
    assert isinstance(Oracle(painted, painted_schema), Method)
    assert isinstance(Blur(painted_schema), Method)
    assert isinstance(editor, InvertingMethod)


def test_who_returns_the_truth_is_judged_as_the_truth_is(measured: Found, references: Measured) -> None:
    oracle, truths = measured["ae_ds"], references.items["truths"]
    replaced = oracle.items["replace"]
    assert len(truths) == len(replaced) + len(oracle.items["recombine"])
    with_truth = ~np.isnan(truths.figures["all_right"][: len(replaced)])
    right = (replaced.figures["swapped"] == 1) & (replaced.figures["all_kept"] == 1)
    assert np.array_equal(right[with_truth], truths.figures["all_right"][: len(replaced)][with_truth] == 1)
    for name in ("replace", "recombine", "reconstruct", "reconstruct_random"):
        figures = oracle.items[name].figures
        assert np.nanmax(figures["mse"]) == np.nanmax(figures["lpips"]) == 0
        assert np.nanmin(figures["ssim"]) == pytest.approx(1)


def test_figures_stand_by_stratum(measured: Found, context: Context) -> None:
    metrics, plan = measured["ae_ds"].metrics, context.plan
    replaced = plan.edit_strata[plan.replacements(slice(0, len(plan.sources)))]
    for number, stratum in enumerate(STRATA):
        assert metrics[f"replace/{stratum}/count"] == (replaced == number).sum() > 0
        assert metrics[f"recombine/{stratum}/all_right"] >= 0
        assert f"codes/{stratum}/leak" in metrics
    each = [metrics[f"replace/seen_pairs/kept/{name}"] for name in context.schema.names]
    items = measured["ae_ds"].items["replace"]
    seen = items.stratum == 0
    assert metrics["replace/seen_pairs/kept"] == pytest.approx(np.nanmean(items.figures["kept"][seen]))
    assert min(each) <= metrics["replace/seen_pairs/kept"] <= max(each)


def test_an_edit_without_a_true_picture_is_judged_by_the_classifier_alone(measured: Found, context: Context) -> None:
    figures, plan = measured["diffusegae"].items["replace"].figures, context.plan
    missing = plan.edit_truths[plan.replacements(slice(0, len(plan.sources)))] == NOT_FOUND
    assert missing.any()
    for name in ("mse", "ssim", "lpips", "copied"):
        assert np.array_equal(np.isnan(figures[name]), missing), name
    assert not np.isnan(figures["kept"]).any()


def test_a_method_that_knows_training_by_heart_is_told_apart(measured: Found) -> None:
    copier, oracle = (measured[name].items["replace"] for name in ("gzsnet", "ae_ds"))
    known = ~np.isnan(copier.figures["copied"])
    assert (copier.figures["copied"][known] == 1).all()
    assert (oracle.figures["copied"][known] == 0).all()
    unseen = copier.stratum > 0
    assert np.nanmean(copier.figures["mse"][unseen]) > 0


def test_the_frechet_distance_of_the_true_images_is_none(measured: Found, references: Measured) -> None:
    oracle, blurred = (with_distances(measured[name], references) for name in ("ae_ds", "diffae"))
    assert oracle.metrics["reconstruct_random/seen_pairs/fd_vgg16"] == pytest.approx(0, abs=1e-3)
    assert blurred.metrics["reconstruct_random/seen_pairs/fd_vgg16"] > 1
    assert not [name for name in oracle.examples if name.startswith("features")]


def test_parts_are_read_where_they_lie(measured: Found) -> None:
    metrics = measured["ae_ds"].metrics
    assert metrics["codes/seen_pairs/is_divided"] == 1
    assert metrics["codes/seen_pairs/width"] == 6 + 4 + 5  # without the code's constant beginning and end
    for name in ("vehicle", "ground", "pose"):
        assert metrics[f"codes/seen_pairs/own/{name}"] == 1
    assert metrics["codes/seen_pairs/silhouette_part/ground"] == pytest.approx(1)
    # Its parts hold their own value and nothing else, so the probe reads what the reference does.
    for stratum in STRATA:
        assert metrics[f"codes/{stratum}/leak"] == metrics[f"codes/{stratum}/mlp_leak"] == 0
    assert measured["diffae"].metrics["codes/seen_pairs/is_divided"] == 0


def test_what_a_method_cannot_do_is_absent(measured: Found) -> None:
    for name in ("diffae", "ddim"):
        found = measured[name]
        assert not {"replace", "recombine", "unedited"} & set(found.items)
        assert found.examples.keys() >= {"seen_pairs/inferred", "seen_pairs/random", "seen_pairs/interpolated"}
        assert not [key for key in found.examples if key.endswith(("replaced", "recombined", "interpolated_single"))]
    assert "codes" not in measured["ddim"].items
    assert measured["ddim"].codes is None
    assert "path" not in measured["ae_ds"].items


def test_every_figure_is_finite(measured: Found) -> None:
    for found in measured.values():
        assert all(np.isfinite(value) and isinstance(value, float) for value in found.metrics.values())


def test_edits_take_edit_steps_and_inferred_noise_the_configs(
    editor: Editor, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []

    def reconstruct(self: Editor, images: Images, seeds: Sequence[int] | None = None) -> Images:
        calls.append(("inferred" if seeds is None else "random", self.sampling.steps))
        return images

    monkeypatch.setattr(Editor, "reconstruct", reconstruct)
    measure(Bench.of(editor.with_sampling(SamplingConfig(steps=50)), context), "diffusegae")
    assert set(calls) == {("inferred", 4), ("random", 2)}


def test_a_source_is_inverted_once_whatever_the_number_of_its_edits(
    editor: Editor, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverted, infer = [0], Editor.infer_noise

    def count(self: Editor, images: Images, codes: Images) -> Images:
        inverted[0] += len(images)
        return infer(self, images, codes)

    monkeypatch.setattr(Editor, "infer_noise", count)
    bench = Bench.of(editor, context)
    for piece in plan_pieces("diffusegae", CONFIG, context.plan):
        if piece.measure == "replace":
            run_piece(bench, piece)
    assert inverted[0] == len(context.plan.sources)


def test_the_editors_figures_are_its_own(measured: Found, editor: Editor, context: Context) -> None:
    plan, quick = context.plan, Bench.of(editor, context).quick.method
    row = int(np.flatnonzero(plan.source_strata == 2)[0])  # the first of the unseen instances
    source, donor = (context.images(rows[row : row + 1]) for rows in (plan.sources, plan.donors))
    edited = quick.edit(source, {"pose": donor})
    shown = measured["diffusegae"].examples["unseen_instance/replaced"]
    assert np.abs(to_tensor(shown[:1, 2]).numpy() - edited.numpy()).max() <= 1.01 / 127.5
    back = quick.reconstruct(source)
    items = measured["diffusegae"].items["unedited"]
    expected = ((back - source) / 2).square().mean().item()
    assert items.figures["mse"][items.unit == row] == pytest.approx(expected, rel=1e-3)


def test_pieces_are_the_whole(editor: Editor, context: Context, measured: Found) -> None:
    whole = replace(
        context, config=CONFIG.model_copy(update={"evaluate": CONFIG.evaluate.model_copy(update={"piece_images": 100})})
    )
    found = measure(Bench.of(editor, whole), "diffusegae", compared=True)
    pieces = plan_pieces("diffusegae", CONFIG, context.plan, compared=True)
    assert len(pieces) > len(plan_pieces("diffusegae", whole.config, context.plan, compared=True)) + 8
    for name, value in found.metrics.items():
        # The lengths of paths of an untrained model are rounding in part, which batches of one size share.
        assert measured["diffusegae"].metrics[name] == pytest.approx(value, rel=0.3 if "ppl" in name else 1e-3), name
    assert found.examples.keys() == measured["diffusegae"].examples.keys()


def test_paths_take_more_pairs_at_fewer_steps(measured: Found) -> None:
    figures = measured["diffusegae"].items["path"].figures
    assert (~np.isnan(figures["ppl/T2"])).sum() == 12
    assert (~np.isnan(figures["ppl/T4"])).sum() == 6


def test_without_weights_the_rest_is_measured(
    painted: ImageLookup, painted_schema: AttributeSchema, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffusegae.metrics.features.PACKAGE", "a_package_that_is_not_installed")
    bench = Bench.of(Oracle(painted, painted_schema), replace(context, perceptual=None))
    found = measure(bench, "gzsnet", compared=True)
    assert not [metric for metric in found.metrics if "fd_" in metric or "lpips" in metric]
    assert found.metrics["recombine/seen_pairs/mse"] == 0


def test_figures_are_taken_without_tf32(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def look(context: Context, rows: slice) -> Measured:
        seen.append(torch.backends.cudnn.allow_tf32)
        return Measured()

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setitem(REFERENCES, "judge", look)  # type: ignore[arg-type]  # a plain dictionary
    run_piece(context, Piece("judge", 0, 1, 1))
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32
