"""Worlds in which all values combine: numbers of combinations and labels are one to one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8

from diffusegae.data.combined import CombinedWorld


class Painted(CombinedWorld):
    """Squares of a shade: 2 hues, 3 levels."""

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        return {"hue": ("red", "green"), "level": ("low", "middle", "high")}

    def render(
        self, labels: Integer[np.ndarray, "n columns"], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        pixels = np.zeros((len(labels), 2, 2, 3), np.uint8)
        pixels[np.arange(len(labels)), :, :, labels[:, 0]] = (80 * (1 + labels[:, 1]) + np.asarray(draws))[
            :, None, None
        ]
        return pixels


def test_every_combination_has_a_number_labels_and_a_key() -> None:
    world = Painted()
    labels = world.labels(np.arange(world.num_combinations))
    assert world.num_combinations == len({tuple(row) for row in labels.tolist()}) == 6
    assert world.names(labels[5]) == {"hue": "green", "level": "high"}
    assert [world.key(row) for row in labels[:2]] == ["red-low", "red-middle"]
