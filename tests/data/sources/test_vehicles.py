"""Sources: the combinations of vehicles, and true pictures rendered with a draw of their own."""

import numpy as np
import pytest

from diffusegae.config.data import DataConfig
from diffusegae.data.records import Skipped
from diffusegae.data.renderer import StoredRenderer, open_renderer
from diffusegae.data.sources.vehicles import VehicleSource
from diffusegae.data.vehicles import VehicleWorld

SIZE = 32
COUNTS = {"num_kinds": 3, "num_instances": 2, "num_backgrounds": 4, "num_poses": 4}
WORLD = VehicleWorld(**COUNTS, size=SIZE)


def renderer(**settings: object) -> StoredRenderer | None:
    vehicles = COUNTS | {key: value for key, value in settings.items() if key in ("num_instances", "jitter")}
    rest = {key: value for key, value in settings.items() if key not in vehicles}
    return open_renderer(DataConfig.model_validate({"source": {"kind": "vehicles", **vehicles}, **rest}), SIZE)


def labels_of(*rows: tuple[int, int, int]) -> dict[str, np.ndarray]:
    instance, background, pose = np.array(rows).T
    return {"category": instance // 2, "instance": instance, "background": background, "pose": pose}


def test_combinations_are_those_of_the_pictures() -> None:
    source = VehicleSource(WORLD, shard_rows=8)
    read = [image for unit in range(source.num_units) for image in source.read(unit)]
    images = [image for image in read if not isinstance(image, Skipped)]
    columns = ("pose", "category", "instance", "background")
    expected = {tuple(image.labels[column] for column in columns) for image in images}
    found = source.combinations(columns)
    rows = zip(*(np.array(found.vocabularies[name])[found.labels[name]].tolist() for name in columns), strict=True)
    assert len(found.counts) == len(images)
    assert set(rows) == expected


def test_draw_0_is_the_stored_picture_and_others_are_new_and_repeatable() -> None:
    rendering = renderer()
    assert rendering is not None
    labels = labels_of((5, 3, 2), (0, 1, 0), (5, 3, 2), (5, 0, 2))
    stored = rendering.render(labels, [0, 0, 0, 0])
    assert np.array_equal(stored[0], WORLD.render(2, 1, 3, 2))
    assert np.array_equal(stored[1], WORLD.render(0, 0, 1, 0))
    assert np.array_equal(stored[3], WORLD.render_layer(2, 1, 2)[0])
    drawn = rendering.render(labels, np.array([1, 7, 2, 1]))
    assert np.array_equal(drawn, rendering.render(labels, np.array([1, 7, 2, 1])))
    assert not np.array_equal(drawn[0], stored[0])
    assert not np.array_equal(drawn[0], drawn[2])
    # Another camera, not another scene: nearer than the same vehicle in another pose.
    turned = rendering.render(labels_of((5, 3, 0)), [0])[0]
    distances = [np.abs(drawn[0].astype(int) - other).mean() for other in (stored[0], turned)]
    assert 0 < distances[0] < 0.6 * distances[1]


def test_truths_are_stored_as_the_pictures_are() -> None:
    lossless, lossy = renderer(), renderer(encoding="jpeg", quality=90)
    assert lossless is not None
    assert lossy is not None
    labels = labels_of((3, 2, 1))
    difference = np.abs(lossless.render(labels, [4]).astype(int) - lossy.render(labels, [4]))
    assert 0 < difference.mean() < 10


@pytest.mark.parametrize(
    "settings",
    [
        {"jitter": 0.0},
        {"source": {"kind": "ilab", "uri": "/x"}},
        {"attributes": {"category": {"width": 2}, "background": {"width": 2}, "pose": {"width": 2}}},
        {"attributes": {"identity": {"column": "instance", "width": 2}, "background": {"width": 2}}},
    ],
)
def test_what_can_not_be_rendered_anew_has_no_renderer(settings: dict[str, object]) -> None:
    assert renderer(**settings) is None


def test_a_kind_with_one_instance_says_which() -> None:
    attributes = {"identity": {"column": "category", "width": 2}, "background": {"width": 2}, "pose": {"width": 2}}
    rendering = renderer(num_instances=1, attributes=attributes)
    assert rendering is not None
    labels = {"category": np.array([2]), "background": np.array([1]), "pose": np.array([3])}
    world = VehicleWorld(**COUNTS | {"num_instances": 1}, size=SIZE)
    assert np.array_equal(rendering.render(labels, [0])[0], world.render(2, 0, 1, 3))
