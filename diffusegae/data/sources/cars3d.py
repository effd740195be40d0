"""Cars3D: 183 models of cars from 24 sides and 4 heights, one MATLAB file each.

Layout (nips2015-analogy-data, Reed et al. 2015): car_NNN_mesh.mat holds `im` uint8 [128, 128, 3, 24, 4], the azimuth
before the elevation: disentanglement_lib's cars3d.py transposes it by einsum "abcde->deabc" and counts the elevation
fastest. Read by SciPy.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from diffusegae import storage
from diffusegae.data.containers import require_there
from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import (
    ArrayConfig,
    Block,
    Pixels,
    RowNumbers,
    Rows,
    name_values,
    numbered,
)
from diffusegae.data.sources.state import combined

_FILE = re.compile(r"(?:^|/)(car_\d+)_mesh\.mat$")
_AZIMUTHS, _ELEVATIONS = 24, 4


class Cars3dConfig(ArrayConfig):
    """Cars3D (car_*_mesh.mat of nips2015-analogy-data): car, azimuth, elevation."""

    kind: Literal["cars3d"] = "cars3d"
    uri: str = Field(min_length=1, description="Folder that holds car_NNN_mesh.mat files, at any depth.")
    addresses: ClassVar[tuple[str, ...]] = ("uri",)
    factors: ClassVar[tuple[str, ...]] = ("car", "azimuth", "elevation")

    def state(self) -> str:
        """Return a hash of the names of the cars."""
        return combined(*self.arrays())

    def arrays(self) -> Mapping[str, Rows]:
        """Find the cars; SourceError if there is none, or the first is of another layout."""
        require_there(self.uri)
        found = {match[1]: name for name in storage.iterate_files(self.uri) if (match := _FILE.search(name))}
        if not found:
            raise SourceError(
                f"{self.uri}: it holds no car_NNN_mesh.mat; set data.source.uri to the folder of the cars"
            )
        cars = {car: CarRows(storage.join(storage.resolve(self.uri), found[car])) for car in sorted(found)}
        next(iter(cars.values())).load()
        return cars

    def blocks(self) -> Iterator[Block]:
        """Yield the labels of each car's pictures."""
        azimuth, elevation = np.divmod(np.arange(_AZIMUTHS * _ELEVATIONS), _ELEVATIONS)
        for car in self.arrays():
            labels = {
                "car": name_values(self.uri, [car], np.zeros(len(azimuth), np.int64)),
                "azimuth": name_values(self.uri, numbered(_AZIMUTHS), azimuth),
                "elevation": name_values(self.uri, numbered(_ELEVATIONS), elevation),
            }
            yield Block(car, 0, labels)


@dataclass(frozen=True)
class CarRows:
    """The pictures of one car, the elevation varying fastest; the file (4.7 MB unpacked) is loaded whole."""

    uri: str
    num_rows: int = _AZIMUTHS * _ELEVATIONS

    def read(self, rows: RowNumbers) -> Iterator[Pixels]:
        """Yield rows; SourceError if the file is damaged or of another layout."""
        pixels = self.load()
        yield pixels[rows]

    def load(self) -> Pixels:
        """Load all pictures: uint8 [96, height, width, 3]; SourceError if the file is damaged or of another layout."""
        from scipy.io import loadmat  # here, as only this set needs it

        try:
            with storage.open_input(self.uri) as file:
                im = loadmat(file, variable_names=["im"])["im"]
        except KeyError as error:
            raise SourceError(f"{self.uri}: it has no variable 'im'; is it a file of Cars3D?") from error
        except Exception as error:  # damaged files raise whatever SciPy stumbles over
            raise SourceError(f"{self.uri}: not a whole .mat file ({error}); copy or download it again") from error
        if im.dtype != np.uint8 or im.ndim != 5 or im.shape[2:] != (3, _AZIMUTHS, _ELEVATIONS):
            raise SourceError(
                f"{self.uri}: im is {im.dtype} {list(im.shape)}, expected uint8 [height, width, 3, {_AZIMUTHS},"
                f" {_ELEVATIONS}]"
            )
        return np.ascontiguousarray(im.transpose(3, 4, 0, 1, 2)).reshape(-1, *im.shape[:3])
