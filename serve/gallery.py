"""The gallery: held-out pictures of the data set to try the model on, and the true picture of an edit between them.

Loading the labels costs about 25 bytes per row of the data set, and the first truth as much again; the chosen pictures
and the last truths stay in memory as PNG.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from jaxtyping import Integer

from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.shards import read_manifest
from diffusegae.images import encode_image
from diffusegae.schema import Attribute, AttributeSchema, SchemaError

from .messages import Message, ProblemDetails
from .problems import MEDIA_TYPE, Problem

PNG = "image/png"
DEFAULT_COUNT = 24
CANDIDATES = 4096  # held-out pictures among which the most varied are chosen
MAX_TRUTHS = 512
VALUE_PREFIX = "values."
# A key is a hash of the picture, so what it addresses never changes. Private: the service may ask for a token.
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}

Labels = Integer[np.ndarray, "rows columns"]


class GalleryItem(Message):
    """One picture of the gallery."""

    key: str
    labels: dict[str, str]


class GalleryResponse(Message):
    """The pictures of the gallery, the first ones the most varied."""

    items: tuple[GalleryItem, ...]


class Gallery:
    """Some held-out pictures of a data set, as varied as possible and always the same ones.

    Raises:
        SchemaError: the data set lacks a column of the schema, or has other values in it.
    """

    def __init__(self, lookup: ImageLookup, schema: AttributeSchema, count: int = DEFAULT_COUNT) -> None:
        _require_columns(lookup, schema)
        self._lookup, self._schema = lookup, schema
        self._rows: dict[str, int] = {}
        self._pictures: dict[str, bytes] = {}
        self._truths: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        candidates = lookup.sample(CANDIDATES, True, np.random.default_rng(0))
        rows = candidates[choose_varied(self._labels_of(candidates), count)]
        for row, pixels in zip(rows.tolist(), lookup.take(rows), strict=True):
            key = hashlib.blake2b(pixels.tobytes(), digest_size=6).hexdigest()
            self._rows.setdefault(key, row)
            self._pictures.setdefault(key, encode_image(pixels))

    @classmethod
    def open(cls, uri: str, schema: AttributeSchema, count: int = DEFAULT_COUNT) -> "Gallery":
        """Choose from the ingested data set at a URI; ManifestError if there is none."""
        return cls(ImageLookup(uri, read_manifest(uri)), schema, count)

    @property
    def items(self) -> tuple[GalleryItem, ...]:
        """The pictures' keys and what they show, by the names of the schema's values."""
        return tuple(GalleryItem(key=key, labels=self._describe(row)) for key, row in self._rows.items())

    def picture(self, key: str) -> bytes:
        """Return a picture as PNG; Problem 404 if there is none of that key."""
        self._row(key)
        return self._pictures[key]

    def truth(self, key: str, donors: Mapping[str, str], values: Mapping[str, str]) -> bytes:
        """Return the PNG of what a picture shows once attributes are those of donors (their keys) or named values.

        Raises:
            Problem: 404 if a key is unknown or the data set has no such picture, 422 if an attribute or value is.
        """
        labels = [int(self._lookup.labels.columns[column][self._row(key)]) for column in self._schema.group_columns]
        for name, donor in donors.items():
            attribute = self._attribute(name)
            labels[self._schema.index_of(name)] = int(
                self._lookup.labels.columns[attribute.group_column][self._row(donor)]
            )
        for name, value in values.items():
            labels[self._schema.index_of(name)] = self._label(self._attribute(name), value)
        (row,) = self._lookup.find(np.array([labels]), self._schema.group_columns).tolist()
        if row == NOT_FOUND:
            wanted = ", ".join(
                attribute.group_values[label] for attribute, label in zip(self._schema.attributes, labels, strict=True)
            )
            raise Problem(404, "No true picture", f"the data set has no picture of {wanted}; other donors may have one")
        return self._read(row)

    def router(self) -> APIRouter:
        """Return the routes below /v1; they run in threads, because pictures are read from storage."""
        router = APIRouter(prefix="/gallery", tags=["gallery"])
        content: dict[str, Any] = {PNG: {"schema": {"type": "string", "format": "binary"}}}
        picture: dict[int | str, dict[str, Any]] = {
            200: {"description": "The picture as PNG.", "content": content},
            404: {
                "description": "No such picture.",
                "content": {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}},
            },
        }
        router.add_api_route("", self._list, response_model=GalleryResponse)
        options: dict[str, Any] = {"response_class": Response, "responses": picture}
        router.add_api_route("/{key}", self._show, **options)
        router.add_api_route("/{key}/truth", self._show_truth, **options)
        return router

    def _list(self) -> GalleryResponse:
        """List the gallery: held-out pictures that training never saw."""
        return GalleryResponse(items=self.items)

    def _show(self, key: str) -> Response:
        """Return a picture of the gallery."""
        return Response(self.picture(key), media_type=PNG, headers=FOREVER)

    def _show_truth(self, key: str, request: Request) -> Response:
        """Return what an edit should show.

        `?ATTRIBUTE=KEY` takes an attribute from another picture of the gallery, `?values.ATTRIBUTE=VALUE` a value.
        """
        asked = dict(request.query_params)
        if "model" not in self._schema.names:  # which every route of the API takes, and does not matter here
            asked.pop("model", None)
        donors = {name: donor for name, donor in asked.items() if name in self._schema.names}
        values = {
            name.removeprefix(VALUE_PREFIX): value
            for name, value in asked.items()
            if name.startswith(VALUE_PREFIX) and name not in donors
        }
        for name in asked:
            if name not in donors and name.removeprefix(VALUE_PREFIX) not in values:
                self._attribute(name)
        return Response(self.truth(key, donors, values), media_type=PNG, headers=FOREVER)

    def _read(self, row: int) -> bytes:
        with self._lock:
            known = self._truths.get(row)
            if known is not None:
                self._truths.move_to_end(row)
                return known
        data = encode_image(self._lookup.take(np.array([row]))[0])
        with self._lock:
            self._truths[row] = data
            while len(self._truths) > MAX_TRUTHS:
                self._truths.popitem(last=False)
        return data

    def _row(self, key: str) -> int:
        if key not in self._rows:
            raise Problem(404, "Unknown picture", f"the gallery has no picture {key!r}; /v1/gallery lists their keys")
        return self._rows[key]

    def _attribute(self, name: str) -> Attribute:
        try:
            return self._schema.attributes[self._schema.index_of(name)]
        except SchemaError as error:
            raise Problem(422, "Unknown attribute", str(error)) from error

    def _label(self, attribute: Attribute, value: str) -> int:
        try:
            label = attribute.index_of(value)
        except SchemaError as error:
            raise Problem(422, "Unknown value", str(error)) from error
        if attribute.column != attribute.group_column:
            raise Problem(
                404,
                "No true picture",
                f"{attribute.name} {value!r} is shown by several values of {attribute.group_column!r}, so no single"
                " picture is the true one; take the attribute from a picture of the gallery",
            )
        return label

    def _describe(self, row: int) -> dict[str, str]:
        return {
            attribute.name: attribute.values[int(self._lookup.labels.columns[attribute.column][row])]
            for attribute in self._schema.attributes
        }

    def _labels_of(self, rows: Integer[np.ndarray, "_"]) -> Labels:
        columns = dict.fromkeys((*self._schema.columns, *self._schema.group_columns))
        return np.stack([self._lookup.labels.columns[column][rows] for column in columns], axis=1)


def choose_varied(labels: Labels, count: int) -> Integer[np.ndarray, "_"]:
    """Return at most `count` places, each time of the row whose values have been chosen least so far."""
    seen = [np.zeros(int(column.max(initial=0)) + 1) for column in labels.T]
    left = np.ones(len(labels), bool)
    chosen: list[int] = []
    for _ in range(min(count, len(labels))):
        novelty = np.sum([1 / (1 + times[column]) for times, column in zip(seen, labels.T, strict=True)], axis=0)
        best = int(np.where(left, novelty, -1).argmax())
        chosen.append(best)
        left[best] = False
        for times, value in zip(seen, labels[best], strict=True):
            times[value] += 1
    return np.array(chosen, np.int64)


def _require_columns(lookup: ImageLookup, schema: AttributeSchema) -> None:
    known = lookup.manifest.columns
    for attribute in schema.attributes:
        for column, values in (
            (attribute.column, attribute.values),
            (attribute.group_column, attribute.group_values),
        ):
            if tuple(known.get(column, ())) != values:
                raise SchemaError(
                    f"attribute {attribute.name!r} of the model reads column {column!r} with {len(values)} values, but"
                    f" {lookup.uri} has there {len(known.get(column, ()))} other ones; give the gallery the data set"
                    " that the model was trained on, or none"
                )
