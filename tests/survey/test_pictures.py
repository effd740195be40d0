"""A sample of pictures: formats, sizes, and what can't be read."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from diffusegae.data.containers import Member
from diffusegae.data.records import Skipped
from diffusegae.survey.pictures import SAMPLE, survey_pictures
from tests.image_files import picture
from tests.test_images import HEIC


class Files:
    """Reads contents by a member's offset."""

    def __init__(self, *contents: bytes | npt.NDArray[np.uint8] | Skipped) -> None:
        self.contents = contents

    def read(self, members: Sequence[Member]) -> Iterator[bytes | npt.NDArray[np.uint8] | Skipped]:
        return (self.contents[member.offset % len(self.contents)] for member in members)


def test_what_is_read_and_what_is_not_is_counted() -> None:
    files = Files(
        picture(0), picture(1, "JPEG"), HEIC, b"nothing", Skipped("a", "missing file", ""),
        np.zeros((20, 90, 3), np.uint8),
    )  # fmt: skip
    found = survey_pictures(files, [Member(f"{place}", place, 0, 0) for place in range(6)])
    assert found.num_read == 3
    assert found.formats == {"PNG": 1, "JPEG": 1, "array": 1}
    assert found.problems == {"format not read: HEIC": 1, "image does not decode": 1, "missing file": 1}
    assert found.sides[1] == 20
    assert found.num_oblong == 1


def test_of_many_a_sample_is_taken_from_all_over() -> None:
    asked: list[int] = []

    class Watched(Files):
        def read(self, members: Sequence[Member]) -> Iterator[bytes | npt.NDArray[np.uint8] | Skipped]:
            asked.extend(member.offset for member in members)
            return super().read(members)

    found = survey_pictures(Watched(picture(0)), [Member("", place, 0, 0) for place in range(10_000)])
    assert found.num_read == len(asked) == SAMPLE
    assert (min(asked), max(asked)) == (0, 9999)
    assert max(np.diff(asked)) < 200
