"""A column of labels: how many images show each of its values, how evenly, and whether it can be an attribute."""

import math
from dataclasses import dataclass

import numpy as np

MAX_VALUES, IMAGES_PER_VALUE = 2000, 4  # more values, or fewer images of each on average: a name, not an attribute
MAX_MISSING = 0.8  # share of images


@dataclass(frozen=True)
class Column:
    """What is known of one column of labels."""

    name: str
    values: tuple[str, ...]
    counts: tuple[int, ...]  # images per value
    num_missing: int

    @property
    def num_images(self) -> int:
        """Images that have a label."""
        return sum(self.counts)

    @property
    def problem(self) -> str:
        """Why it can't be an attribute, "" if it can."""
        images, values = self.num_images, len(self.values)
        if values < 2:
            return f"it has {values} value{'s' if values != 1 else ''}"
        if values > min(MAX_VALUES, images / IMAGES_PER_VALUE):
            told = (
                "numbers, which {width: 10, bins: 5} would cut" if self.is_number else "names rather than an attribute"
            )
            return f"{values:,} values in {images:,} images: {told}"
        if self.num_missing > MAX_MISSING * (images + self.num_missing):
            return f"{self.num_missing:,} of {images + self.num_missing:,} images lack it"
        return ""

    @property
    def is_number(self) -> bool:
        """Whether all values are numbers."""
        try:
            return all(math.isfinite(float(value)) for value in self.values)
        except ValueError:
            return False

    @property
    def bits(self) -> float:
        """Entropy of the labels in bits: the more values and the more evenly they occur, the larger."""
        shares = np.array(self.counts) / max(self.num_images, 1)
        shares = shares[shares > 0]
        return float(-(shares * np.log2(shares)).sum())

    @property
    def evenness(self) -> float:
        """Entropy over that of as many values that are equally frequent, 0 to 1."""
        return self.bits / math.log2(len(self.values)) if len(self.values) > 1 else 1.0

    def __str__(self) -> str:
        """Describe it in some words."""
        low, high = min(self.counts, default=0), max(self.counts, default=0)
        told = f"{len(self.values)} values, {low:,} to {high:,} images of each"
        return told + (f", {self.num_missing:,} images without" if self.num_missing else "")
