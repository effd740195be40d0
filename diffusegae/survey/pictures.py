"""Pictures: what a sample of a source's files is, and what ingest would make of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffusegae.data.containers import Member
from diffusegae.data.records import Skipped
from diffusegae.data.sources.listed import Reader
from diffusegae.formats import ImageError
from diffusegae.images import open_image

SAMPLE = 64


@dataclass(frozen=True)
class PictureSurvey:
    """A sample of pictures: how many are of which format and size, and why others can't be read."""

    num_read: int
    formats: Mapping[str, int]
    sides: tuple[int, int]  # the shorter one: median and smallest, in pixels
    num_oblong: int  # of which a square shows less than two thirds
    num_transparent: int
    problems: Mapping[str, int]


def survey_pictures(reader: Reader, members: Sequence[Member]) -> PictureSurvey:
    """Open SAMPLE of the members, taken evenly, and decode each."""
    chosen = np.unique(np.linspace(0, len(members) - 1, min(SAMPLE, len(members))).astype(int))
    formats: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    transparent = 0
    for content in reader.read([members[place] for place in chosen]):
        if isinstance(content, Skipped):
            problems[content.reason] += 1
        elif not isinstance(content, bytes):
            formats["array"] += 1
            sizes.append((content.shape[1], content.shape[0]))
        else:
            try:
                with open_image(content) as picture:
                    picture.load()
                    sizes.append(picture.size)
                    formats[str(picture.format)] += 1
                    transparent += picture.has_transparency_data
            except ImageError as error:
                problems[error.reason] += 1
    shorter = [min(size) for size in sizes]
    return PictureSurvey(
        num_read=len(sizes),
        formats=formats,
        sides=(int(np.median(shorter)), min(shorter)) if shorter else (0, 0),
        num_oblong=sum(3 * min(size) < 2 * max(size) for size in sizes),
        num_transparent=transparent,
        problems=problems,
    )
