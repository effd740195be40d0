"""How a trained network is called: its arithmetic, and what spares it the launches of its kernels."""

from typing import Literal

from pydantic import Field, field_validator

from diffusegae.config.base import Config


class InferenceConfig(Config):
    """What decides how fast pictures come, and by how little they differ from float32's; of the machine, not the model.

    The defaults are a CPU's; `editing.network.suited_to` returns a device's own.
    """

    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Arithmetic of the UNet's blocks; its last layer and the sampler's steps stay float32."
    )
    acceleration: Literal["none", "captured", "compiled"] = Field(
        "none", description="CUDA graphs of the network, captured in seconds, or of it compiled, in a minute a size."
    )
    sizes: tuple[int, ...] = Field(
        (1, 2, 4, 8, 16),
        min_length=1,
        description="Batch sizes that are captured; other batches are padded to the next one, larger ones run as is.",
    )

    @field_validator("sizes")
    @classmethod
    def _check_sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes[0] < 1 or sorted(set(sizes)) != list(sizes):
            raise ValueError(f"sizes={list(sizes)}; expected batch sizes from 1 up, each larger than the one before")
        return sizes
