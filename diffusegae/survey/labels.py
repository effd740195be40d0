"""Labels: what the columns of a source hold, of all its images or of the first of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int32

from diffusegae.data.association import Association, associate
from diffusegae.data.column import Column
from diffusegae.data.containers import Member
from diffusegae.data.index import OFFSET, PACKING, PATH, SIZE, sort_values
from diffusegae.data.records import KEY, MISSING, SourceError
from diffusegae.data.sources.listed import ListedConfig
from diffusegae.data.splits import Combinations
from diffusegae.schema import label_column

MAX_ROWS = 1_000_000  # of which labels are looked at
MAX_MEMBERS = 1000  # of which pictures may be


@dataclass(frozen=True)
class LabelSurvey:
    """The labels of a source's images, or of the first of them."""

    columns: tuple[Column, ...]
    labels: Mapping[str, Int32[np.ndarray, " images"]]
    skipped: Mapping[str, int]
    members: tuple[Member, ...]  # of MAX_MEMBERS images at most, taken evenly
    num_images: int  # that were looked at
    num_repeated: int
    is_whole: bool

    @property
    def combinations(self) -> Combinations:
        """The labels as combinations, one for each image."""
        vocabularies = {column.name: column.values for column in self.columns}
        return Combinations(vocabularies, self.labels, np.ones(self.num_images, np.int64))

    def matrix(self, names: Sequence[str]) -> Int32[np.ndarray, "images columns"]:
        """Return the labels of some columns side by side."""
        return np.stack([self.labels[name] for name in names], axis=1)

    def associations(self, names: Sequence[str]) -> list[Association]:
        """Return how far each of some columns follows from each other one."""
        return associate(self.combinations, {name: name for name in names})


def survey_labels(source: ListedConfig, names: Sequence[str]) -> LabelSurvey:
    """Read the labels of a source, of MAX_ROWS images at most.

    Raises:
        SourceError: the source is missing or damaged, or holds no picture.
    """
    columns = tuple(dict.fromkeys(label_column(name) for name in names))
    tables: list[pa.Table] = []
    skipped: Counter[str] = Counter()
    count = 0
    for listing in source.listings(columns):
        skipped.update(item.reason for item in listing.skipped)
        tables.append(listing.table)
        count += listing.table.num_rows
        if count > MAX_ROWS:
            break
    if not count:
        raise SourceError(f"the source holds no picture that can be used; left out: {dict(skipped)}")
    table = pa.concat_tables(tables).slice(0, MAX_ROWS)
    found = [_column(name, table[label_column(name)]) for name in names]
    sample = table.take(np.unique(np.linspace(0, table.num_rows - 1, MAX_MEMBERS).astype(int)))
    places = zip(*(sample[place].to_pylist() for place in (PATH, OFFSET, SIZE, PACKING)), strict=True)
    return LabelSurvey(
        columns=tuple(column for column, _ in found),
        labels={column.name: labels for column, labels in found},
        skipped=dict(skipped),
        members=tuple(Member(*place) for place in places),
        num_images=table.num_rows,
        num_repeated=table.num_rows - len(table[KEY].unique()),
        is_whole=count <= MAX_ROWS,
    )


def _column(name: str, texts: pa.ChunkedArray) -> tuple[Column, Int32[np.ndarray, " images"]]:
    encoded = texts.combine_chunks().dictionary_encode()
    given = encoded.dictionary.to_pylist()
    values = sort_values(given)
    place_of = {value: place for place, value in enumerate(values)}
    order = np.array([*(place_of[value] for value in given), MISSING])
    codes = encoded.indices.fill_null(MISSING).to_numpy()
    labels = order[codes].astype(np.int32)
    counts = np.bincount(labels[labels != MISSING], minlength=len(values))
    return Column(name, values, tuple(counts.tolist()), int((labels == MISSING).sum())), labels
