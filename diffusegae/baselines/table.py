"""The table of baselines: which class stands behind which name."""

from diffusegae.baselines.ae_ds import AeDs
from diffusegae.baselines.baseline import Baseline
from diffusegae.baselines.ddim import Ddim
from diffusegae.baselines.diffae import DiffAe
from diffusegae.baselines.elegant import Elegant
from diffusegae.baselines.gzsnet import GzsNet
from diffusegae.baselines.pdae import Pdae
from diffusegae.baselines.stargan import StarGan
from diffusegae.config.baselines import BaselineName

BASELINES: dict[BaselineName, type[Baseline]] = {
    "diffae": DiffAe,
    "ddim": Ddim,
    "pdae": Pdae,
    "gzsnet": GzsNet,
    "ae_ds": AeDs,
    "stargan": StarGan,
    "elegant": Elegant,
}
