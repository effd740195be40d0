"""True pictures: rendered ones show their labels and were never stored; finite sets have held-out ones or grey."""

import numpy as np
import pytest

from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.renderer import open_renderer
from diffusegae.evaluation import context as context_module
from diffusegae.evaluation.context import Context, build_context
from diffusegae.evaluation.truths import KINDS, NO_IMAGE, Truths
from diffusegae.metrics.classifier import (
    AttributeClassifier,
    ClassifierSettings,
    LabelledImages,
    train_classifier,
)
from tests.gpu.world import MemoryLookup, render_world
from tests.tiny import smoke_config


@pytest.fixture(scope="module")
def vehicles() -> MemoryLookup:
    return MemoryLookup(render_world(smoke_config(), processes=1))


@pytest.fixture(scope="module")
def rendered(vehicles: MemoryLookup) -> Truths:
    config = smoke_config()
    return Truths(vehicles, vehicles.world.schema, open_renderer(config.data, config.model.image_size))


def both_labels(lookup: ImageLookup, truths: Truths, rows: np.ndarray) -> np.ndarray:
    kinds = (truths.schema.columns, truths.schema.group_columns)
    return np.stack([lookup.labels.matrix(names)[rows] for names in kinds], axis=1)


def test_a_rendered_truth_shows_its_labels_in_a_picture_that_nobody_has_seen(
    vehicles: MemoryLookup, rendered: Truths
) -> None:
    rows = np.arange(0, len(vehicles.labels), 7)
    labels = both_labels(vehicles, rendered, rows)
    stored = vehicles.take(rows)
    assert np.array_equal(rendered.pixels(labels, rows, np.zeros(len(rows), int)), stored)  # draw 0 is the stored one
    fresh = rendered.pixels(labels, rows, 1 + np.arange(len(rows)))
    everything = {picture.tobytes() for picture in vehicles.world.pixels}
    assert not everything & {picture.tobytes() for picture in fresh}
    # Nearer to the stored picture of its labels than to that of others: another camera, not another vehicle.
    apart = np.square(fresh[:, None].astype(float) - stored[None]).mean(axis=(2, 3, 4))
    assert (apart.argmin(axis=1) == np.arange(len(rows))).mean() > 0.9
    assert (rendered.kinds(rows) == KINDS.index("rendered")).all()


def test_the_judge_learns_pairs_that_models_have_not_seen_but_no_value_held_out_and_no_truth(
    vehicles: MemoryLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[LabelledImages] = []

    def train(images: LabelledImages, *arguments: object, **settings: object) -> AttributeClassifier:
        taught.append(images)
        return train_classifier(images, (4, 6, 4), seed=0, settings=ClassifierSettings(epochs=1))

    monkeypatch.setattr(context_module, "train_classifier", train)
    context = build_context(vehicles, smoke_config(), vehicles.world.schema)
    plan, shown = context.plan, {picture.tobytes() for picture in taught[0].images}
    assert len(taught[0].images) == 2 * len(plan.train)
    pictures = [*context.truth_pixels(slice(None)), *context.truth_pixels(slice(None), again=1)]
    held_out = vehicles.take(np.flatnonzero(vehicles.labels.held_out))
    for picture in [*pictures, *held_out]:
        assert picture.tobytes() not in shown
    trained = {tuple(labels) for labels in taught[0].labels[: len(plan.train)]}
    assert {tuple(labels) for labels in taught[0].labels} - trained  # combinations that no training image shows
    assert (taught[0].labels[:, 0] < 4).all()


def test_a_finite_set_has_held_out_truths_or_none(context: Context) -> None:
    plan, truths = context.plan, context.truths
    kinds = truths.kinds(plan.edit_truths)
    assert {KINDS[kind] for kind in kinds} == {"held_out", "none"}
    pixels, images = context.truth_pixels(slice(None)), context.truth(slice(None))
    missing = plan.edit_truths == NOT_FOUND
    assert (pixels[missing] == NO_IMAGE).all()
    assert images[missing].isnan().all()
    assert not images[~missing].isnan().any()
    assert np.array_equal(pixels[~missing], context.lookup.take(plan.edit_truths[~missing]))
