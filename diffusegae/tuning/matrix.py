"""The probe matrix of a trial: what each part of z_dis tells of each attribute, in the mean over judged latents."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from diffusegae.metrics.probe import PartReadings, mean


@dataclass(frozen=True)
class ProbeMatrix:
    """Accuracy of each attribute (columns) from each part (rows), with what it is to be held against."""

    names: tuple[str, ...]
    accuracy: Float[np.ndarray, "m m"]
    reference: Float[np.ndarray, "m m"]  # of the own value and nothing else; the diagonal is NaN
    chance: Float[np.ndarray, " m"]  # 1 / |A|

    @classmethod
    def of(cls, readings: PartReadings) -> "ProbeMatrix":
        """Return the means over the rows of readings; the reference is over the same rows as the leak."""
        accuracy = mean(readings.reads, axis=0)
        return cls(readings.names, accuracy, accuracy - mean(readings.leak, axis=0), readings.chance)

    @property
    def diagonal(self) -> Float[np.ndarray, " m"]:
        """Accuracy of each attribute from its own part; the aim is 1."""
        return np.diagonal(self.accuracy)

    @property
    def leak(self) -> Float[np.ndarray, "m m"]:
        """Accuracy minus reference; the aim is 0. NaN on the diagonal and where nothing was measured."""
        return np.asarray(self.accuracy - self.reference)

    def as_metrics(self) -> dict[str, float]:
        """Return flat metrics: `probe/<part>/<attribute>`, and the signed `probe/mean_leak` and `probe/max_leak`."""
        entries = zip(product(self.names, repeat=2), self.accuracy.ravel().tolist(), strict=True)
        leaks = self.leak[~np.isnan(self.leak)]
        return {f"probe/{part}/{attribute}": value for (part, attribute), value in entries} | {
            "probe/mean_leak": float(mean(leaks)),
            "probe/max_leak": float(leaks.max()) if len(leaks) else float("nan"),
        }
