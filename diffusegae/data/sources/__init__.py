"""The sources of images: one file each, and one line each here."""

from typing import Annotated

from pydantic import Field

from diffusegae.data.sources.folder import FolderConfig
from diffusegae.data.sources.ilab import IlabConfig
from diffusegae.data.sources.vehicles import VehiclesConfig

AnySource = Annotated[VehiclesConfig | IlabConfig | FolderConfig, Field(discriminator="kind")]
