"""The paper's own figures (Table 1, Table 2, Fig. 10), of iLab-20M at 128 px; one run each, no spread is given.

Where the paper contradicts itself the resolution is that of facts, section 8: it has 10 identities and 6 poses.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DATA = "paper, iLab-20M"
ATTRIBUTES = ("Identity", "Background", "Pose")
CHANCE = (1 / 10, 1 / 111, 1 / 6)

# Held-out accuracy of each attribute (columns) from each part (rows).
TABLE_1: Mapping[str, tuple[tuple[float, float, float], ...]] = {
    "diffusegae": ((0.96, 0.019, 0.168), (0.15, 1.0, 0.14), (0.12, 0.015, 0.99)),
    "diffae": ((0.90, 0.018, 0.167), (0.132, 0.91, 0.167), (0.10, 0.019, 0.93)),
    "gzsnet": ((0.93, 0.020, 0.17), (0.133, 1.0, 0.167), (0.11, 0.019, 0.97)),
    "ae_ds": ((0.97, 0.015, 0.16), (0.14, 1.0, 0.142), (0.14, 0.016, 0.99)),
}


@dataclass(frozen=True)
class Reconstruction:
    """A row of Table 2."""

    fid: float
    ssim: float
    lpips: float
    mse: float


_GZSNET = Reconstruction(100.85, 0.345, 0.205, 0.124)  # has no x_T: the same in both tables

# T = 100, 50,000 images; its FID has no counterpart without Inception's weights.
INFERRED: Mapping[str, Reconstruction] = {
    "diffusegae": Reconstruction(4.03, 0.989, 0.012, 8.56e-5),
    "ddim": Reconstruction(10.37, 0.912, 0.063, 0.002),
    "gzsnet": _GZSNET,
}
RANDOM: Mapping[str, Reconstruction] = {
    "diffusegae": Reconstruction(8.06, 0.549, 0.073, 0.011),
    "diffae": Reconstruction(8.07, 0.539, 0.073, 0.011),
    "gzsnet": _GZSNET,
}

# Fig. 10: perceptual path length by sampling steps.
PATH_LENGTH: Mapping[str, Mapping[int, float]] = {
    "diffusegae": {20: 370.73, 50: 355.24, 100: 345.67, 500: 330.72},
    "diffae": {20: 383.04, 50: 364.02, 100: 350.05, 500: 335.72},
}
