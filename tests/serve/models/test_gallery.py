"""The gallery of a tiny stored data set: which pictures it shows, their names, and the truths it finds."""

from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from diffusegae.data.lookup import ImageLookup
from diffusegae.data.shards import ManifestError, read_manifest
from diffusegae.images import decode_image
from diffusegae.schema import AttributeSchema, AttributeSpec, SchemaError, build_schema
from serve.http.failures import add_problem_handlers
from serve.http.gallery_routes import GalleryRoutes
from serve.models.gallery import Gallery, choose_varied
from serve.problems import Problem
from tests.stored_images import paint, write_images

COLUMNS = {"kind": 4, "ground": 3, "pose": 5}
SPECS = {name: AttributeSpec(width=4) for name in COLUMNS}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("set"))
    write_images(root, COLUMNS, [(3, 2, 4), (3, 2, 3)])
    return root


@pytest.fixture(scope="module")
def schema(root: str) -> AttributeSchema:
    return build_schema(SPECS, read_manifest(root).columns)


@pytest.fixture(scope="module")
def gallery(root: str, schema: AttributeSchema) -> Gallery:
    return Gallery.open(root, schema, 12)


@pytest.fixture(scope="module")
def client(gallery: Gallery) -> TestClient:
    api = FastAPI()
    add_problem_handlers(api)
    api.include_router(GalleryRoutes(gallery).router(), prefix="/v1")
    return TestClient(api)


def labels_of(item: dict[str, dict[str, str]]) -> tuple[int, ...]:
    return tuple(int(item["labels"][name].removeprefix(name)) for name in COLUMNS)


def test_shows_held_out_pictures_of_every_value(gallery: Gallery, root: str, schema: AttributeSchema) -> None:
    lookup = ImageLookup(root, read_manifest(root))
    held_out = {tuple(each) for each in lookup.labels.matrix(tuple(COLUMNS))[lookup.labels.held_out].tolist()}
    shown = [labels_of(item.model_dump()) for item in gallery.items]
    assert len(shown) == len(set(shown)) == 12
    assert set(shown) <= held_out
    for place, count in enumerate(COLUMNS.values()):
        assert {each[place] for each in shown} == set(range(count))
    assert Gallery.open(root, schema, 12).items == gallery.items
    assert len(Gallery.open(root, schema, 500).items) == len(held_out)


def test_the_first_chosen_repeat_nothing_that_can_be_avoided() -> None:
    labels = np.array([(0, 0), (0, 1), (1, 1), (2, 0), (1, 0), (2, 2)])
    assert choose_varied(labels, 3).tolist() == [0, 2, 5]
    assert len(set(choose_varied(labels, 9).tolist())) == 6
    assert choose_varied(labels[:0], 3).tolist() == []


def test_pictures_are_what_their_labels_say_and_never_change(client: TestClient) -> None:
    for item in client.get("/v1/gallery").json()["items"]:
        response = client.get(f"/v1/gallery/{item['key']}")
        assert response.headers["content-type"] == "image/png"
        assert "immutable" in response.headers["cache-control"]
        assert (decode_image(response.content) == paint(labels_of(item))).all()


def test_the_truth_takes_attributes_from_other_pictures_or_by_name(client: TestClient) -> None:
    source, donor, *_ = client.get("/v1/gallery").json()["items"]
    path = f"/v1/gallery/{source['key']}/truth"
    mine, other = labels_of(source), labels_of(donor)
    for query, expected in (
        ({"pose": donor["key"]}, (*mine[:2], other[2])),
        ({"pose": donor["key"], "kind": donor["key"], "model": "any"}, (other[0], mine[1], other[2])),
        ({"values.ground": "ground1"}, (mine[0], 1, mine[2])),
        ({}, mine),
    ):
        for _ in range(2):
            response = client.get(path, params=query)
            assert response.status_code == 200, response.text
            assert (decode_image(response.content) == paint(expected)).all()


def test_what_there_is_not_is_a_problem(client: TestClient, gallery: Gallery) -> None:
    key = gallery.items[0].key
    for path, status, words in (
        ("/v1/gallery/nothing", 404, "no picture 'nothing'"),
        ("/v1/gallery/nothing/truth", 404, "no picture 'nothing'"),
        (f"/v1/gallery/{key}/truth?pose=nothing", 404, "no picture 'nothing'"),
        (f"/v1/gallery/{key}/truth?size={key}", 422, "expected one of: kind, ground, pose"),
        (f"/v1/gallery/{key}/truth?values.size=big", 422, "expected one of: kind, ground, pose"),
        (f"/v1/gallery/{key}/truth?values.pose=up", 422, "no value 'up'"),
        (f"/v1/gallery/{key}/truth?values.kind=kind3&values.ground=ground2&values.pose=pose4", 404, "kind3, ground2"),
    ):
        response = client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), path
        assert words in response.json()["detail"]


def test_a_value_that_several_instances_show_has_no_single_truth(root: str) -> None:
    specs = {**SPECS, "kind": AttributeSpec(column="ground", group_column="kind", width=4)}
    gallery = Gallery.open(root, build_schema(specs, read_manifest(root).columns))
    source, donor = gallery.items[:2]
    assert gallery.truth(source.key, {"kind": donor.key}, {})
    with pytest.raises(Problem, match="several values of 'kind'"):
        gallery.truth(source.key, {}, {"kind": "ground1"})


def test_another_models_data_set_is_refused(root: str, schema: AttributeSchema, tmp_path: Path) -> None:
    write_images(str(tmp_path), {**COLUMNS, "kind": 3})
    with pytest.raises(SchemaError, match="attribute 'kind' of the model reads column 'kind' with 4 values"):
        Gallery.open(str(tmp_path), schema)
    with pytest.raises(ManifestError, match="no data set there"):
        Gallery.open(str(tmp_path / "none"), schema)


def test_truths_in_memory_are_bounded(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.models.gallery.MAX_TRUTHS", 2)
    for value in ("pose0", "pose1", "pose2"):
        gallery.truth(gallery.items[0].key, {}, {"pose": value})
    assert len(gallery._truths) == 2
