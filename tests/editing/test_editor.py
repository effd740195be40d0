"""The editor: what it keeps, what it changes, and that a result never depends on its batch."""

import pytest
import torch

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Method
from tests.tiny import random_images, smoke_config, tiny_model, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)


@pytest.fixture(scope="module")
def editor() -> Editor:
    config = smoke_config()
    return Editor(tiny_model(config, SCHEMA), config, SCHEMA, sampling=SamplingConfig(steps=10))


def test_satisfies_the_protocol(editor: Editor) -> None:
    assert isinstance(editor, Method)


def test_inferred_noise_brings_the_image_back(editor: Editor) -> None:
    images = random_images(2)
    precise = editor.with_sampling(SamplingConfig(steps=100, sampler="dpm++"))
    error = (precise.reconstruct(images) - images).square().mean()
    from_noise = (precise.reconstruct(images, seeds=[0, 1]) - images).square().mean()
    assert error < 0.02 * from_noise


def test_taking_an_attribute_from_oneself_changes_nothing(editor: Editor) -> None:
    images = random_images(2)
    torch.testing.assert_close(
        editor.edit(images, {"a": images, "c": images}), editor.reconstruct(images), atol=1e-4, rtol=0
    )


def test_an_edit_takes_the_named_part_and_no_other(editor: Editor) -> None:
    source, donor = random_images(2), random_images(2, seed=1)
    codes, donated = editor.encode(source), editor.encode(donor)
    edited = codes.clone()
    edited[:, SCHEMA.slice_of("b")] = donated[:, SCHEMA.slice_of("b")]
    expected = editor.generate(edited, editor.infer_noise(source, codes))
    torch.testing.assert_close(editor.edit(source, {"b": donor}), expected)


def test_recombination_takes_each_part_from_its_donor(editor: Editor) -> None:
    donors = {name: random_images(1, seed=seed) for seed, name in enumerate(SCHEMA.names)}
    codes = torch.cat([editor.encode(donors[name])[:, SCHEMA.slice_of(name)] for name in SCHEMA.names], dim=1)
    torch.testing.assert_close(editor.recombine(donors, [7]), editor.decode(codes, [7]))


def test_a_result_does_not_depend_on_its_batch(editor: Editor) -> None:
    source, donor = random_images(3), random_images(3, seed=1)
    together = editor.edit(source, {"a": donor}, seeds=[5, 6, 7])
    alone = editor.edit(source[1:2], {"a": donor[1:2]}, seeds=[6])
    assert float((together[1:2] - alone).abs().max()) < 2 / 255


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_interpolation_starts_at_the_source(editor: Editor, names: list[str]) -> None:
    source, target = random_images(1), random_images(1, seed=1)
    frames = editor.interpolate(source, target, names, frames=3)
    torch.testing.assert_close(frames[0], editor.reconstruct(source), atol=1e-4, rtol=0)
    end = editor.reconstruct(target) if len(names) == 3 else editor.edit(source, {"a": target})
    torch.testing.assert_close(frames[2], end, atol=1e-4, rtol=0)
    assert not torch.allclose(frames[1], frames[0], atol=1e-3)


def test_progress_shows_every_step(editor: Editor) -> None:
    seen: list[int] = []
    codes = editor.encode(random_images(1))
    editor.generate(codes, editor.noise([0]), on_step=lambda step, x_0: seen.append(step))
    assert seen == list(range(10))


def test_an_image_that_is_its_own_donor_comes_out_as_if_nothing_was_asked(editor: Editor) -> None:
    """To the last bit: the source must not be encoded in other company because there are donors."""
    image = random_images(1)
    assert torch.equal(editor.edit(image, {"b": image}, seeds=[0]), editor.edit(image, {}, seeds=[0]))
