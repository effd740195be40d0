"""The attribute schema: which attributes images have, their values, and which slice of z_dis belongs to which.

Every other module asks this one; nothing else knows an attribute's name, cardinality or place in z_dis. An attribute
reads its labels from one column of the image rows and its GROUP labels from another (usually the same): iLab's identity
is judged by category, but two images only share it for GROUP(C, s) when they show the same instance.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

ROW_COLUMNS = ("image", "key", "z", "pixels", "held_out")  # what a row holds beside its labels
_LABEL_PREFIX = "label:"


class SchemaError(ValueError):
    """An attribute, value or width that the schema does not allow."""


class Attribute(BaseModel):
    """One attribute: its label column, its GROUP column, their vocabularies and its width in z_dis."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name by which people and requests address the attribute.")
    column: str = Field(description="Column of the image rows that holds its label.")
    group_column: str = Field(description="Column that must agree (or differ) when GROUPs are formed.")
    values: tuple[str, ...] = Field(description="Vocabulary of `column`; a label is an index into it.")
    group_values: tuple[str, ...] = Field(description="Vocabulary of `group_column`.")
    width: int = Field(gt=0, description="How many dimensions of z_dis belong to it.")
    named: tuple[int, ...] = Field(
        (), description="Labels of the values that go by name (classified, judged, offered), sorted; empty: of all."
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: Callable[["Attribute"], dict[str, Any]]) -> dict[str, Any]:
        """Leave `named` out where all values are, as it was before there was a bound."""
        return {name: value for name, value in dump(self).items() if value or name != "named"}

    @model_validator(mode="after")
    def _check_vocabularies(self) -> "Attribute":
        for column, values in ((self.column, self.values), (self.group_column, self.group_values)):
            if len(values) < 2:
                raise SchemaError(
                    f"attribute {self.name!r}: column {column!r} has {len(values)} value(s) {list(values)}; an"
                    " attribute needs at least 2. Leave it out of data.attributes or add images with another value"
                )
            if len(set(values)) != len(values):
                raise SchemaError(f"attribute {self.name!r}: column {column!r} lists a value twice in its vocabulary")
        return self

    @property
    def named_values(self) -> tuple[str, ...]:
        """The values that go by name."""
        return tuple(self.values[label] for label in self.named) if self.named else self.values

    def places(self, labels: Integer[np.ndarray, "*shape"]) -> Integer[np.ndarray, "*shape"]:
        """Return the place of labels among those that go by name, -1 of others and of missing ones."""
        if not self.named:
            return labels
        place_of = np.full(len(self.values) + 1, -1, labels.dtype)  # the last is that of a missing label
        place_of[list(self.named)] = np.arange(len(self.named))
        return np.asarray(place_of[labels])

    def index_of(self, value: str) -> int:
        """Return the label of a value; SchemaError lists the known values."""
        try:
            return self.values.index(value)
        except ValueError:
            shown = ", ".join(self.values[:12]) + (", …" if len(self.values) > 12 else "")
            raise SchemaError(f"attribute {self.name!r} has no value {value!r}; expected one of: {shown}") from None


class AttributeSchema(BaseModel):
    """The ordered attributes of a data set; z_dis is their parts laid side by side in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: tuple[Attribute, ...]

    @model_validator(mode="after")
    def _check_attributes(self) -> "AttributeSchema":
        if len(self.attributes) < 2:
            raise SchemaError(
                f"the schema has {len(self.attributes)} attribute(s) {list(self.names)}; GROUPs need at least 2"
            )
        if len(set(self.names)) != len(self.names):
            raise SchemaError(f"the schema names an attribute twice: {list(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Attribute names in order."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each attribute that go by name: the outputs of whatever tells them apart."""
        return tuple(len(attribute.named_values) for attribute in self.attributes)

    @property
    def width(self) -> int:
        """Width of z_dis."""
        return sum(attribute.width for attribute in self.attributes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each attribute's part of z_dis, in order."""
        return tuple(attribute.width for attribute in self.attributes)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slice of z_dis of each attribute, in order."""
        starts = [sum(self.widths[:j]) for j in range(len(self.widths))]
        return tuple(slice(start, start + width) for start, width in zip(starts, self.widths, strict=True))

    @property
    def columns(self) -> tuple[str, ...]:
        """Label column of each attribute, in order."""
        return tuple(attribute.column for attribute in self.attributes)

    @property
    def group_columns(self) -> tuple[str, ...]:
        """GROUP column of each attribute, in order."""
        return tuple(attribute.group_column for attribute in self.attributes)

    def places(self, labels: Integer[np.ndarray, "*n m"]) -> Integer[np.ndarray, "*n m"]:
        """Return the places of labels, a column per attribute, among the values that go by name; -1 of others."""
        columns = [attribute.places(labels[..., a]) for a, attribute in enumerate(self.attributes)]
        return np.stack(columns, axis=-1)

    def index_of(self, name: str) -> int:
        """Return the position of an attribute; SchemaError lists the known names."""
        if name not in self.names:
            raise SchemaError(f"unknown attribute {name!r}; expected one of: {', '.join(self.names)}")
        return self.names.index(name)

    def slice_of(self, name: str) -> slice:
        """Return the slice of z_dis that belongs to an attribute; SchemaError if there is none of that name."""
        return self.slices[self.index_of(name)]

    def fingerprint(self) -> str:
        """Return a short hash that two schemas share only when names, values, order and widths are equal.

        Which values go by name does not matter to it: models edit the others just as well.
        """
        content = self.model_dump(mode="json", exclude={"attributes": {"__all__": {"named"}}})
        canonical = json.dumps(content, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def require_same(self, other: "AttributeSchema", where: str) -> None:
        """Raise SchemaError naming the first difference when `other`, found in `where`, is not this schema."""
        if self.fingerprint() == other.fingerprint():
            return
        raise SchemaError(
            f"{where} was made for another schema: {_first_difference(self, other)}. Train on this data under a new"
            " name, or point to the data set the checkpoint was trained on"
        )


class AttributeSpec(BaseModel):
    """What a config says of an attribute: where its labels are and how wide its part of z_dis is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field("", description="Label column; the attribute's own name when empty.")
    group_column: str = Field("", description="Column that forms GROUPs; the label column when empty.")
    bins: int | None = Field(
        None, gt=1, description="Cut the column's numbers at their quantiles into so many classes; None: as they are."
    )
    width: int = Field(gt=0, description="Width of its part of z_dis.")

    def columns(self, name: str) -> tuple[str, str]:
        """Return the label column and the GROUP column of an attribute of that name, as rows call them."""
        column = self.column or name
        return label_column(column), label_column(self.group_column or column)


def label_column(name: str) -> str:
    """Return what rows call a column of the source: by its own name, prefixed if rows have a column of that name."""
    return f"{_LABEL_PREFIX}{name}" if name in ROW_COLUMNS or name.startswith(_LABEL_PREFIX) else name


def source_column(column: str) -> str:
    """Return what the source calls a label column of rows, the reverse of `label_column`."""
    return column.removeprefix(_LABEL_PREFIX)


def build_schema(
    specs: Mapping[str, AttributeSpec],
    vocabularies: Mapping[str, Sequence[str]],
    counts: Mapping[str, Sequence[int]] | None = None,
    num_named: int = 0,
) -> AttributeSchema:
    """Join what the config asks for with the vocabularies found in the data.

    With `counts`, the images per value, the `num_named` most frequent values of an attribute go by name, the first of
    equally frequent ones; without them all do.

    Raises:
        SchemaError: a spec names a column that the data lacks, or a column has a single value.
    """
    try:
        attributes = [_join(name, spec, vocabularies) for name, spec in specs.items()]
        if counts is not None:
            named = [frequent_labels(counts[attribute.column], num_named) for attribute in attributes]
            attributes = [a.model_copy(update={"named": own}) for a, own in zip(attributes, named, strict=True)]
        return AttributeSchema(attributes=tuple(attributes))
    except ValidationError as error:  # pydantic wraps what a validator raises; the cause is ours
        raise error.errors()[0]["ctx"]["error"] from error


def _join(name: str, spec: AttributeSpec, vocabularies: Mapping[str, Sequence[str]]) -> Attribute:
    column, group_column = spec.columns(name)
    for needed in (column, group_column):
        if needed not in vocabularies:
            raise SchemaError(
                f"attribute {name!r} reads column {needed!r}, which the data does not have;"
                f" its label columns are: {', '.join(vocabularies)}. Set data.attributes.{name}.column"
            )
    return Attribute(
        name=name,
        column=column,
        group_column=group_column,
        values=tuple(vocabularies[column]),
        group_values=tuple(vocabularies[group_column]),
        width=spec.width,
    )


def frequent_labels(counts: Sequence[int], limit: int) -> tuple[int, ...]:
    """Return the labels of the most frequent values, sorted; none where there are no more than the limit."""
    if len(counts) <= limit:
        return ()
    return tuple(sorted(np.argsort(-np.asarray(counts), kind="stable")[:limit].tolist()))


def _first_difference(mine: AttributeSchema, other: AttributeSchema) -> str:
    if mine.names != other.names:
        return f"attributes {list(other.names)} instead of {list(mine.names)}"
    for a, b in zip(mine.attributes, other.attributes, strict=True):
        if a.width != b.width:
            return f"part {a.name!r} is {b.width} wide instead of {a.width}"
        if a.values != b.values:
            return f"attribute {a.name!r} has {len(b.values)} values {list(b.values)[:5]}… instead of {len(a.values)}"
    return "attributes read other columns"
