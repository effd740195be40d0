"""Editing with an undivided code: reconstruction, blends, and single attributes in the way that pictures choose."""

import pytest
import torch
from torch import Tensor

from diffusegae.baselines.diffae import DiffAe
from diffusegae.baselines.directions import PUBLISHED_LENGTH, Directions
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod, Validation
from diffusegae.baselines.ways import FARTHEST, MEANS
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
    """Return the method with ways fitted on its own codes of random pictures of any label."""
    images = coloured(64, seed=7)
    method.fit_ways(method.encode(images), torch.randint(0, 4, (64, 3), generator=generator()))
    return method


def moved(directions: Directions, codes: Tensor, labels: Tensor, attribute: int, length: float | None = None) -> Tensor:
    """Return codes a step towards the next code's value of an attribute."""
    present, wanted = labels[:, attribute], labels.roll(1, 0)[:, attribute]
    return codes + directions.step(codes, codes.roll(1, 0), present, wanted, attribute, length)


def test_classifiers_read_every_attribute() -> None:
    codes, labels = separable()
    assert float((Directions.fit(codes, labels, (4, 4, 4)).read(codes) == labels).float().mean()) > 0.999


@pytest.mark.parametrize("attribute", [0, 1, 2])
def test_a_step_changes_what_is_read_of_its_attribute_and_of_no_other(attribute: int) -> None:
    codes, labels = separable()
    directions = Directions.fit(codes, labels, (4, 4, 4))
    read = directions.read(moved(directions, codes, labels, attribute))
    wanted = labels.clone()
    wanted[:, attribute] = labels.roll(1, 0)[:, attribute]
    assert float((read == wanted).float().mean()) > 0.99


def test_a_step_goes_as_far_as_the_donor_lies() -> None:
    codes, labels = separable()
    directions, donors = Directions.fit(codes, labels, (4, 4, 4)), codes.roll(1, 0)
    found, theirs = moved(directions, codes, labels, 1), labels.roll(1, 0)[:, 1]
    differs = labels[:, 1] != theirs
    assert torch.equal(found[~differs], codes[~differs])
    # what tells the two values apart is read from the moved code as from the donor's
    rows = torch.arange(COUNT)
    logits = [((each - directions.mean) / directions.scale) @ directions.weights[1] for each in (found, donors)]
    margins = [each[rows, theirs] - each[rows, labels[:, 1]] for each in logits]
    torch.testing.assert_close(margins[0][differs], margins[1][differs], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("length", [PUBLISHED_LENGTH, 0.6])
def test_a_length_is_measured_in_normalised_codes(length: float) -> None:
    codes, labels = separable()
    found = moved(Directions.fit(codes, labels, (4, 4, 4)), codes, labels, 1, length)
    lengths = ((found - codes) / codes.std(dim=0)).norm(dim=1)
    differs = labels[:, 1] != labels.roll(1, 0)[:, 1]
    expected = torch.full((int(differs.sum()),), length * WIDTH**0.5)
    torch.testing.assert_close(lengths[differs], expected, rtol=1e-3, atol=0)
    assert torch.equal(found[~differs], codes[~differs])


def test_a_dimension_that_never_varies_is_harmless() -> None:
    codes, labels = separable()
    codes[:, 20] = 3.0
    found = moved(Directions.fit(codes, labels, (4, 4, 4)), codes, labels, 0)
    assert found.isfinite().all()
    assert torch.equal(found[:, 20], codes[:, 20])


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


def test_before_ways_are_fitted_edits_are_refused_with_the_remedy(method: LatentDiffusionMethod) -> None:
    images = coloured(1)
    for attempt in (
        lambda: method.edit(images, {"b": images}),
        lambda: method.recombine(dict.fromkeys("abc", images), [0]),
        lambda: method.interpolate(images, images, ["b"], 2),
        lambda: method.choose([(images, images, images, 0)], distance),
        method.ways_state,
    ):
        with pytest.raises(UnsupportedError, match=r"call fit_ways\(codes, labels\)"):
            attempt()


def change(method: LatentDiffusionMethod, codes: Tensor, donated: Tensor, values: Tensor, attribute: int) -> Tensor:
    """Return codes of known values after the change of one attribute in its chosen way."""
    assert method.moves is not None
    way = method.ways(SCHEMA.names[attribute])[method.chosen[SCHEMA.names[attribute]]]
    return codes + method.moves.step(way, codes, donated, values, method.moves.read(donated), attribute)


def test_an_edit_moves_the_code_and_keeps_the_sources_noise(fitted: LatentDiffusionMethod) -> None:
    source, donor = coloured(4), coloured(4, seed=1)
    codes, donated = fitted.encode(source), fitted.encode(donor)
    assert fitted.moves is not None
    changed = change(fitted, codes, donated, fitted.moves.read(codes), 1)
    assert not torch.equal(changed, codes)
    expected = fitted.generate(changed, fitted.infer_noise(source, codes))
    torch.testing.assert_close(fitted.edit(source, {"b": donor}), expected)
    assert not torch.allclose(expected, fitted.reconstruct(source), atol=1e-2)


def test_several_edits_of_a_source_infer_its_noise_once(
    fitted: LatentDiffusionMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, donor = coloured(3), coloured(3, seed=1)
    changes: list[dict[str, Tensor]] = [{}, {"b": donor}, {"a": donor, "c": donor}]
    expected = [fitted.edit(source, each) for each in changes]
    inferred, infer = [], fitted.infer_noise
    monkeypatch.setattr(fitted, "infer_noise", lambda *given: inferred.append(1) or infer(*given))
    found = fitted.edit_each(source, changes)
    assert len(inferred) == 1
    assert all(map(torch.equal, found, expected))
    assert torch.equal(found[0], fitted.reconstruct(source))


def distance(made: Tensor, true: Tensor) -> Tensor:
    return (made - true).square().mean(dim=(1, 2, 3))


def edits_made_by(method: LatentDiffusionMethod, names: dict[str, str]) -> list[Validation]:
    """Return validation edits whose truths are what the given ways paint."""
    source, donor = coloured(12, seed=2), coloured(12, seed=3)
    chosen, method.chosen = method.chosen, {**method.chosen, **names}
    edits = [(source, donor, method.edit(source, {n: donor}), SCHEMA.index_of(n)) for n in names]
    method.chosen = chosen
    return edits


@pytest.mark.parametrize("way", [FARTHEST, "direction, step 0.3 (published)", MEANS, "joint means with c"])
def test_the_way_of_an_attribute_is_chosen_by_pictures(fitted: LatentDiffusionMethod, way: str) -> None:
    edits = edits_made_by(fitted, {"a": way, "b": MEANS})
    assert fitted.choose(edits, distance) == {"a": way, "b": MEANS, "c": FARTHEST}  # c has no edits, keeps the default
    assert fitted.editing_note() == f"Edits by a: {way}; b: {MEANS}; c: {FARTHEST}."


def test_where_pairs_interact_joint_means_win(method: LatentDiffusionMethod) -> None:
    """A world in which what attribute a looks like depends on b: codes of pictures stand in a table of both."""
    labels = torch.cartesian_prod(*(torch.arange(4),) * 3)
    table = torch.randn(4, 4, WIDTH, generator=generator(3))
    own = [torch.randn(4, WIDTH, generator=generator(seed)) for seed in (4, 5, 6)]
    codes = table[labels[:, 0], labels[:, 1]] + sum(each[labels[:, j]] for j, each in enumerate(own))
    method.fit_ways(codes, labels)
    world = coloured(64)  # a picture for each combination, which its mean tells from the others
    means = world.mean(dim=(1, 2, 3))
    row_of = lambda images: (images.mean(dim=(1, 2, 3))[:, None] - means).abs().argmin(dim=1)  # noqa: E731
    method.encoder = lambda images: codes[row_of(images)]
    method.generate = lambda moved, x_T: world[torch.cdist(moved, codes).argmin(dim=1)]  # type: ignore[method-assign]
    method.infer_noise = lambda images, codes: images  # type: ignore[method-assign]
    donors = torch.randperm(64, generator=generator(9))
    wanted = torch.cat([labels[donors, :1], labels[:, 1:]], dim=1)
    truths = world[wanted @ torch.tensor([16, 4, 1])]
    assert method.choose([(world, world[donors], truths, 0)], distance)["a"] == "joint means with b"
    assert torch.equal(method.edit(world, {"a": world[donors]}), truths)


def test_fitted_and_chosen_ways_can_be_handed_on(fitted: LatentDiffusionMethod, baseline: DiffAe) -> None:
    fitted.choose(edits_made_by(fitted, {"b": MEANS}), distance)
    other = baseline.method()
    other.take_ways(*fitted.ways_state())
    source, donor = coloured(3), coloured(3, seed=1)
    assert torch.equal(other.edit(source, {"b": donor}), fitted.edit(source, {"b": donor}))
    assert other.editing_note() == fitted.editing_note()


def test_taking_attributes_from_oneself_changes_nothing(fitted: LatentDiffusionMethod) -> None:
    images = coloured(2)
    assert torch.equal(fitted.edit(images, {"a": images, "c": images}), fitted.reconstruct(images))


def test_recombination_starts_at_the_first_attributes_donor(fitted: LatentDiffusionMethod) -> None:
    donors = {name: coloured(3, seed=seed) for seed, name in enumerate(SCHEMA.names)}
    assert fitted.moves is not None
    fitted.chosen |= {"c": "joint means with b"}  # whose b is the one that was just taken over
    codes = fitted.encode(donors["a"])
    values = fitted.moves.read(codes)
    for attribute, name in ((1, "b"), (2, "c")):
        donated = fitted.encode(donors[name])
        codes = change(fitted, codes, donated, values, attribute)
        values[:, attribute] = fitted.moves.read(donated)[:, attribute]
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


def test_sampling_otherwise_keeps_networks_and_ways(fitted: LatentDiffusionMethod) -> None:
    quick = fitted.with_sampling(SamplingConfig(steps=2))
    assert quick.moves is fitted.moves
    assert quick.chosen == fitted.chosen
    assert quick.sampling.steps == 2
    assert fitted.sampling == smoke_config().sampling
    images = coloured(2)
    assert torch.equal(quick.encode(images), fitted.encode(images))
    assert not torch.equal(quick.reconstruct(images), fitted.reconstruct(images))
