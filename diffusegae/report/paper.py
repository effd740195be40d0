"""The paper's own figures (Tables 1 and 2, Fig. 10), of iLab-20M at 128 px: by figure and row, one run each, no spread.

Its FID has no counterpart without Inception's weights. GZS-Net has no x_T, so it has the same figures twice.
"""

from collections.abc import Mapping

FIGURES: Mapping[str, Mapping[str, float]] = {
    "codes/own/identity": {"diffusegae": 0.96, "diffae": 0.90, "gzsnet": 0.93, "ae_ds": 0.97},
    "codes/own/background": {"diffusegae": 1.0, "diffae": 0.91, "gzsnet": 1.0, "ae_ds": 1.0},
    "codes/own/pose": {"diffusegae": 0.99, "diffae": 0.93, "gzsnet": 0.97, "ae_ds": 0.99},
    "reconstruct/ssim": {"diffusegae": 0.989, "ddim": 0.912, "gzsnet": 0.345},
    "reconstruct/lpips": {"diffusegae": 0.012, "ddim": 0.063, "gzsnet": 0.205},
    "reconstruct/mse": {"diffusegae": 8.56e-5, "ddim": 0.002, "gzsnet": 0.124},
    "reconstruct_random/ssim": {"diffusegae": 0.549, "diffae": 0.539, "gzsnet": 0.345},
    "reconstruct_random/lpips": {"diffusegae": 0.073, "diffae": 0.073, "gzsnet": 0.205},
    "reconstruct_random/mse": {"diffusegae": 0.011, "diffae": 0.011, "gzsnet": 0.124},
    "path/ppl/T20": {"diffusegae": 370.73, "diffae": 383.04},
    "path/ppl/T50": {"diffusegae": 355.24, "diffae": 364.02},
    "path/ppl/T100": {"diffusegae": 345.67, "diffae": 350.05},
    "path/ppl/T500": {"diffusegae": 330.72, "diffae": 335.72},
}
