"""Ways of editing undivided codes: chosen on edits of training images alone, kept, and taken up by another process."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.editing.editor import Editor
from diffusegae.evaluation import ways
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context
from diffusegae.pixels import to_pixels


@pytest.fixture
def method(editor: Editor) -> LatentDiffusionMethod:
    return LatentDiffusionMethod(editor.model.encode, editor.denoiser, editor.config, editor.schema)


def test_ways_are_chosen_on_training_images_and_come_back(
    method: LatentDiffusionMethod, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[torch.Tensor] = []
    choose = LatentDiffusionMethod.choose

    def watch(self: LatentDiffusionMethod, validation: list, distance: object) -> object:  # type: ignore[type-arg]
        shown.extend(images for edits in validation for images in edits[:3])
        return choose(self, validation, distance)  # type: ignore[arg-type]

    monkeypatch.setattr(LatentDiffusionMethod, "choose", watch)
    monkeypatch.setattr(ways, "VALIDATION_EDITS", 4)
    ways.prepare_ways(Bench.of(method, context), str(tmp_path))
    trained = {picture.tobytes() for picture in context.lookup.take(context.plan.train)}
    pictures = [picture.tobytes() for images in shown for picture in to_pixels(images)]
    assert len(pictures) > 0
    assert set(pictures) <= trained
    other = LatentDiffusionMethod(method.encoder, method.denoiser, method.config, method.schema)
    ways.take_ways(other, str(tmp_path))
    assert set(other.chosen) == set(context.schema.names)
    assert ways.read_note(str(tmp_path)) == other.editing_note()
    source, donor = (context.images(rows[:2]) for rows in (context.plan.sources, context.plan.donors))
    assert np.isfinite(other.edit(source, {"pose": donor}).numpy()).all()
