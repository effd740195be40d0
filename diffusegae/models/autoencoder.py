"""DiffuseGAE, the whole model: encoder E, normaliser, GAE and UNet, put together (Fig. 1a)."""

from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float, Num
from torch import Tensor, nn

from diffusegae.checkpoint import read_meta, read_tensors
from diffusegae.config.model import ModelConfig
from diffusegae.models.encoder import AlterResNet
from diffusegae.models.gae import GroupAutoEncoder
from diffusegae.models.half_unet import HalfUNetEncoder
from diffusegae.models.normaliser import LatentNormaliser
from diffusegae.models.unet import UNet
from diffusegae.schema import AttributeSchema, SchemaError


class DiffuseGAE(nn.Module):
    """x_0 -> z_sem -> z_dis -> z_sem^ -> prediction of the noise in x_t."""

    def __init__(self, config: ModelConfig, schema: AttributeSchema) -> None:
        super().__init__()
        check_part_widths(config, schema)
        self.encoder = build_encoder(config)
        self.unet = UNet(config)
        self.gae = GroupAutoEncoder(config, schema.widths)
        self.normaliser = LatentNormaliser(config.z_sem_width)

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "DiffuseGAE":
        """Return the model of an exported folder, or of any checkpoint: its averaged weights, in eval mode, on the CPU.

        Raises:
            CheckpointError: the folder is not a whole checkpoint.
        """
        folder = Path(directory)
        meta = read_meta(folder)
        model = cls(meta.config.model, meta.attributes)
        model.load_state_dict(read_tensors(folder, "ema"))
        return model.eval()

    def encode(self, x_0: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch z_sem"]:
        """Return z_sem of images in [-1, 1]."""
        z_sem: Tensor = self.encoder(x_0)
        return z_sem

    def disentangle(self, z_sem: Float[Tensor, "batch z_sem"]) -> Float[Tensor, "batch z_dis"]:
        """Return z_dis, whose slices (by the schema) are the attributes' parts."""
        return self.gae.encode(self.normaliser.normalise(z_sem))

    def entangle(self, z_dis: Float[Tensor, "batch z_dis"]) -> Float[Tensor, "batch z_sem"]:
        """Return the z_sem that a z_dis describes."""
        return self.normaliser.denormalise(self.gae.decode(z_dis))

    def predict(
        self,
        x_t: Float[Tensor, "batch 3 height width"],
        t: Num[Tensor, " batch"],
        z_sem: Float[Tensor, "batch z_sem"],
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the UNet's prediction (eps or v, by the diffusion config)."""
        prediction: Tensor = self.unet(x_t, t, z_sem)
        return prediction

    def predictor(self, z_sem: Float[Tensor, "batch z_sem"]) -> Callable[[Tensor, Tensor], Tensor]:
        """Return `predict` at a fixed z_sem, which is looked at only once: what a sampler calls at every step."""
        condition = self.unet.condition(z_sem)
        return lambda x_t, t: self.unet.denoise(x_t, t, condition)

    def parameter_counts(self) -> dict[str, int]:
        """Return how many parameters each part has."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}


def build_encoder(config: ModelConfig) -> nn.Module:
    """Return the encoder that the config names."""
    return HalfUNetEncoder(config) if config.encoder.architecture == "half_unet" else AlterResNet(config)


def check_part_widths(config: ModelConfig, schema: AttributeSchema) -> None:
    """Raise SchemaError when the attributes' widths do not add up to the model's z_dis_width."""
    if schema.width != config.z_dis_width:
        widths = " + ".join(f"{a.width} ({a.name})" for a in schema.attributes)
        raise SchemaError(
            f"part widths {widths} = {schema.width} do not add up to model.z_dis_width = {config.z_dis_width};"
            " change data.attributes.<name>.width or model.z_dis_width"
        )
