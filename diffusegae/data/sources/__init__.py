"""The sources of images: one file each, and one line each here."""

from typing import Annotated

from pydantic import Field

from diffusegae.data.sources.cars3d import Cars3dConfig
from diffusegae.data.sources.celeba import CelebaConfig
from diffusegae.data.sources.dsprites import DspritesConfig
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.data.sources.glyphs import GlyphsConfig
from diffusegae.data.sources.heroes import HeroesConfig
from diffusegae.data.sources.huggingface import HuggingfaceConfig
from diffusegae.data.sources.ilab import IlabConfig
from diffusegae.data.sources.mpi3d import Mpi3dConfig
from diffusegae.data.sources.shapes3d import Shapes3dConfig
from diffusegae.data.sources.smallnorb import SmallnorbConfig
from diffusegae.data.sources.vehicles import VehiclesConfig
from diffusegae.data.sources.webdataset import WebdatasetConfig

AnySource = Annotated[
    VehiclesConfig
    | GlyphsConfig
    | HeroesConfig
    | IlabConfig
    | FolderConfig
    | DspritesConfig
    | Mpi3dConfig
    | Shapes3dConfig
    | Cars3dConfig
    | SmallnorbConfig
    | CelebaConfig
    | HuggingfaceConfig
    | WebdatasetConfig,
    Field(discriminator="kind"),
]
