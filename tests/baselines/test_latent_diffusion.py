"""Editing with an undivided code: reconstruction, blends, and single attributes along fitted directions."""

import pytest
import torch
from torch import Tensor

from diffusegae.baselines.diffae import DiffAe
from diffusegae.baselines.directions import PUBLISHED_LENGTH, Directions
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Method, UnsupportedError
from tests.baselines.short_training import generator, tiny_baseline
from tests.tiny import random_images, smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)
WIDTH, COUNT = 32, 1200


def coloured(count: int, seed: int = 0) -> Tensor:
    """Return noisy pictures of different colours, whose codes differ more than those of noise alone."""
    colours = torch.rand(count, 3, 1, 1, generator=generator(seed)) * 2 - 1
    return 0.8 * colours + 0.2 * random_images(count, seed=seed)


def separable(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return codes [n, 32] in which attribute j with value k is a bump in dimension 4 j + k, and their labels."""
    labels = torch.randint(0, 4, (COUNT, 3), generator=generator())
    codes = 0.1 * torch.randn(COUNT, WIDTH, generator=generator(1))
    for j in range(3):
        codes[torch.arange(COUNT), 4 * j + labels[:, j]] += 1.0
    spread = scale * torch.logspace(-1, 1, WIDTH)  # dimensions of very different size, which z-scoring undoes
    return 5.0 + codes * spread, labels


@pytest.fixture(scope="module")
def baseline() -> DiffAe:
    """Return networks whose pictures depend on z_sem, which random ones do little."""
    return tiny_baseline(DiffAe, smoke_config("model.unet.z_gain=50.0"), SCHEMA)


@pytest.fixture
def method(baseline: DiffAe) -> LatentDiffusionMethod:
    return baseline.method()


@pytest.fixture
def fitted(method: LatentDiffusionMethod) -> LatentDiffusionMethod:
    """Return the method with directions fitted on its own codes of random pictures of any label."""
    images = coloured(64, seed=7)
    method.fit_directions(method.encode(images), torch.randint(0, 4, (64, 3), generator=generator()))
    return method


def donors_labels(labels: Tensor) -> Tensor:
    """Return the labels of the next code, which donates."""
    return labels.roll(1, 0)


def test_classifiers_read_every_attribute() -> None:
    codes, labels = separable()
    assert float((Directions.fit(codes, labels, (4, 4, 4)).read(codes) == labels).float().mean()) > 0.999


@pytest.mark.parametrize("attribute", [0, 1, 2])
def test_a_step_changes_what_is_read_of_its_attribute_and_of_no_other(attribute: int) -> None:
    codes, labels = separable()
    directions = Directions.fit(codes, labels, (4, 4, 4))
    read = directions.read(directions.move(codes, codes.roll(1, 0), attribute))
    wanted = labels.clone()
    wanted[:, attribute] = donors_labels(labels)[:, attribute]
    assert float((read == wanted).float().mean()) > 0.99


def test_a_step_goes_as_far_as_the_donor_lies() -> None:
    codes, labels = separable()
    directions, donors = Directions.fit(codes, labels, (4, 4, 4)), codes.roll(1, 0)
    moved = directions.move(codes, donors, 1)
    differs = labels[:, 1] != donors_labels(labels)[:, 1]
    assert torch.equal(moved[~differs], codes[~differs])
    # what tells the two values apart is read from the moved code as from the donor's
    rows = torch.arange(COUNT)
    logits = [((each - directions.mean) / directions.scale) @ directions.weights[1] for each in (moved, donors)]
    margins = [each[rows, donors_labels(labels)[:, 1]] - each[rows, labels[:, 1]] for each in logits]
    torch.testing.assert_close(margins[0][differs], margins[1][differs], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("length", [PUBLISHED_LENGTH, 0.6])
def test_a_length_is_measured_in_normalised_codes(length: float) -> None:
    codes, labels = separable()
    moved = Directions.fit(codes, labels, (4, 4, 4), length).move(codes, codes.roll(1, 0), 1)
    lengths = ((moved - codes) / codes.std(dim=0)).norm(dim=1)
    differs = labels[:, 1] != donors_labels(labels)[:, 1]
    expected = torch.full((int(differs.sum()),), length * WIDTH**0.5)
    torch.testing.assert_close(lengths[differs], expected, rtol=1e-3, atol=0)
    assert torch.equal(moved[~differs], codes[~differs])


def test_a_dimension_that_never_varies_is_harmless() -> None:
    codes, labels = separable()
    codes[:, 20] = 3.0
    moved = Directions.fit(codes, labels, (4, 4, 4)).move(codes, codes.roll(1, 0), 0)
    assert moved.isfinite().all()
    assert torch.equal(moved[:, 20], codes[:, 20])


def test_satisfies_the_protocol_with_an_undivided_code(method: LatentDiffusionMethod) -> None:
    assert isinstance(method, Method)
    assert method.parts is None
    assert method.image_size == 32
    assert method.encode(coloured(2)).shape == (2, WIDTH)


def test_inferred_noise_brings_the_image_back(method: LatentDiffusionMethod) -> None:
    images = coloured(2)
    precise = method.with_sampling(SamplingConfig(steps=100, sampler="dpm++"))
    error = (precise.reconstruct(images) - images).square().mean()
    from_noise = (precise.reconstruct(images, seeds=[0, 1]) - images).square().mean()
    assert error < 0.02 * from_noise


def test_seeds_draw_what_the_code_leaves_open(method: LatentDiffusionMethod) -> None:
    images = coloured(2)
    codes = method.encode(images)
    assert torch.equal(method.reconstruct(images, [0, 1]), method.decode(codes, [0, 1]))
    assert not torch.allclose(method.decode(codes, [0, 1]), method.decode(codes, [2, 3]), atol=1e-2)


def test_without_directions_edits_are_refused_with_the_remedy(method: LatentDiffusionMethod) -> None:
    images = coloured(1)
    for attempt in (
        lambda: method.edit(images, {"b": images}),
        lambda: method.recombine(dict.fromkeys("abc", images), [0]),
        lambda: method.interpolate(images, images, ["b"], 2),
    ):
        with pytest.raises(UnsupportedError, match=r"call fit_directions\(codes, labels\)"):
            attempt()


def test_an_edit_moves_the_code_and_keeps_the_sources_noise(fitted: LatentDiffusionMethod) -> None:
    source, donor = coloured(4), coloured(4, seed=1)
    codes, donated = fitted.encode(source), fitted.encode(donor)
    assert fitted.directions is not None
    moved = fitted.directions.move(codes, donated, 1)
    assert not torch.equal(moved, codes)
    expected = fitted.generate(moved, fitted.infer_noise(source, codes))
    torch.testing.assert_close(fitted.edit(source, {"b": donor}), expected)
    assert not torch.allclose(expected, fitted.reconstruct(source), atol=1e-2)


def test_taking_attributes_from_oneself_changes_nothing(fitted: LatentDiffusionMethod) -> None:
    images = coloured(2)
    assert torch.equal(fitted.edit(images, {"a": images, "c": images}), fitted.reconstruct(images))


def test_recombination_starts_at_the_first_attributes_donor(fitted: LatentDiffusionMethod) -> None:
    donors = {name: coloured(3, seed=seed) for seed, name in enumerate(SCHEMA.names)}
    assert fitted.directions is not None
    codes = fitted.encode(donors["a"])
    for attribute, name in ((1, "b"), (2, "c")):
        codes = fitted.directions.move(codes, fitted.encode(donors[name]), attribute)
    torch.testing.assert_close(fitted.recombine(donors, [7, 8, 9]), fitted.decode(codes, [7, 8, 9]))


@pytest.mark.parametrize("names", [["b"], ["a", "b"], ["a", "b", "c"]])
def test_interpolation_has_both_ends(fitted: LatentDiffusionMethod, names: list[str]) -> None:
    source, target = coloured(2), coloured(2, seed=1)
    frames = fitted.interpolate(source, target, names, frames=3)
    assert [frame.shape for frame in frames] == [source.shape] * 3
    torch.testing.assert_close(frames[0], fitted.reconstruct(source), atol=1e-3, rtol=0)
    whole = len(names) == 3
    end = fitted.reconstruct(target) if whole else fitted.edit(source, dict.fromkeys(names, target))
    torch.testing.assert_close(frames[2], end, atol=1e-3, rtol=0)
    assert not torch.allclose(frames[1], frames[0], atol=1e-2)
    assert not torch.allclose(frames[1], frames[2], atol=1e-2)


def test_a_result_does_not_depend_on_its_batch(fitted: LatentDiffusionMethod) -> None:
    source, donor = coloured(3), coloured(3, seed=1)
    alone = fitted.edit(source[1:2], {"a": donor[1:2]})
    assert float((fitted.edit(source, {"a": donor})[1:2] - alone).abs().max()) < 2 / 255


def test_sampling_otherwise_keeps_networks_and_directions(fitted: LatentDiffusionMethod) -> None:
    quick = fitted.with_sampling(SamplingConfig(steps=2))
    assert quick.directions is fitted.directions
    assert quick.sampling.steps == 2
    assert fitted.sampling == smoke_config().sampling
    images = coloured(2)
    assert torch.equal(quick.encode(images), fitted.encode(images))
    assert not torch.equal(quick.reconstruct(images), fitted.reconstruct(images))
