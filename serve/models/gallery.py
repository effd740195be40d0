"""The gallery: held-out pictures of the data set to try the model on, and the true picture of an edit between them.

Loading the labels costs about 25 bytes per row of the data set, and the first truth as much again; the chosen pictures
and the last truths stay in memory as PNG.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer
from pydantic import BaseModel, ConfigDict

from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.shards import read_manifest
from diffusegae.images import encode_image
from diffusegae.schema import Attribute, AttributeSchema, SchemaError
from serve.problems import Problem

DEFAULT_COUNT = 24
CANDIDATES = 4096  # held-out pictures among which the most varied are chosen
MAX_TRUTHS = 512

Labels = Integer[np.ndarray, "rows columns"]


class GalleryItem(BaseModel):
    """One picture of the gallery."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    labels: dict[str, str]


class Gallery:
    """Some held-out pictures of a data set, as varied as possible and always the same ones.

    Raises:
        SchemaError: the data set lacks a column of the schema, or has other values in it.
    """

    def __init__(self, lookup: ImageLookup, schema: AttributeSchema, count: int = DEFAULT_COUNT) -> None:
        _require_columns(lookup, schema)
        self._lookup, self.schema = lookup, schema
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
        labels = [int(self._lookup.labels.columns[column][self._row(key)]) for column in self.schema.group_columns]
        for name, donor in donors.items():
            attribute = self.attribute(name)
            labels[self.schema.index_of(name)] = int(
                self._lookup.labels.columns[attribute.group_column][self._row(donor)]
            )
        for name, value in values.items():
            labels[self.schema.index_of(name)] = self._label(self.attribute(name), value)
        (row,) = self._lookup.find(np.array([labels]), self.schema.group_columns).tolist()
        if row == NOT_FOUND:
            wanted = ", ".join(
                attribute.group_values[label] for attribute, label in zip(self.schema.attributes, labels, strict=True)
            )
            raise Problem(404, "No true picture", f"the data set has no picture of {wanted}; other donors may have one")
        return self._read(row)

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

    def attribute(self, name: str) -> Attribute:
        """Return an attribute; Problem 422 if there is none of that name."""
        try:
            return self.schema.attributes[self.schema.index_of(name)]
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
            for attribute in self.schema.attributes
        }

    def _labels_of(self, rows: Integer[np.ndarray, "_"]) -> Labels:
        columns = dict.fromkeys((*self.schema.columns, *self.schema.group_columns))
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
