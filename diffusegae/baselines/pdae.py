"""PDAE (Zhang et al., NeurIPS 2022): an encoder and a gradient estimator on a frozen diffusion model, facts §3.

The DPM predicts eps_theta(x_t, t). What it misses of a picture is the gap between the posterior means with and without
knowledge of x_0. The estimator G(x_t, t, z), a second way up beside the frozen UNet's, fills it as the gradient of
log p(z | x_t) would. In training the mean is shifted by its variance times G,

    E[w_t || eps - (eps_theta + c_t G) ||^2],  c_t = -sqrt(alpha_t) (1 - alpha_bar_{t-1}) / sqrt(1 - alpha_bar_t),

and in sampling eps is shifted as DDIM is guided by a classifier, eps_theta - sqrt(1 - alpha_bar_t) G. That the two
coefficients differ is as published: c_t is that of the discrete posterior. Their ratio is within 5% of 1 from t = 50
on, falls to 1/2 towards the first timesteps, and is 0 at t = 0, where nothing trains G and sampling uses 0.01 of it.

Not published is the canvas, which the estimator has where our UNet has one: a picture drawn from z alone, trained to be
x_0. Were x_0 that picture, G would be (eps_theta - eps) / sqrt(1 - alpha_bar_t) with the eps between it and x_t; the
two sides of that difference enter G by weights of t that are learned, and the rest of the estimator adds what is left.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Float64, Int64, Num
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.baselines.baseline import Baseline, Goal, Samples, Terms
from diffusegae.baselines.ddim import Ddim
from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.config.model import ModelConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.diffusion.process import Denoise, per_image, predict_eps
from diffusegae.diffusion.schedule import Schedule, schedule_of
from diffusegae.losses.simple import NoisyBatch, add_canvas_loss, draw_noise
from diffusegae.models.layers import SelfAttention, group_norm, timestep_embedding, zero_init
from diffusegae.models.unet import Canvas, Condition, build_middle, build_up, climb, embedding_mlp, levels_of
from diffusegae.schema import AttributeSchema

LOWEST_SIDE, ATTENTION_SIDE, ATTENTION_HEADS = 4, 16, 4
GAMMA = 0.1  # of the loss' weight


def shift_coefficient(t: Int64[Tensor, " batch"], schedule: Schedule) -> Float64[Tensor, " batch"]:
    """Return c_t, by which G enters the prediction of eps in training; alpha_bar before the first timestep is 1."""
    alpha_bar = schedule.at(t)
    before = torch.where(t > 0, schedule.at((t - 1).clamp_min(0)), 1.0)
    return -(alpha_bar / before).sqrt() * (1 - before) / (1 - alpha_bar).sqrt()


def loss_weight(t: Int64[Tensor, " batch"], schedule: Schedule) -> Float64[Tensor, " batch"]:
    """Return w_t = SNR^0.1 / (1 + SNR): little for nearly clean and for nearly lost images."""
    alpha_bar = schedule.at(t)
    ratio = alpha_bar / (1 - alpha_bar)
    return ratio**GAMMA / (1 + ratio)


def canvas_sides(
    x_t: Float[Tensor, "batch 3 height width"],
    eps: Float[Tensor, "batch 3 height width"],
    t: Int64[Tensor, " batch"],
    schedule: Schedule,
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 1 1"]]:
    """Return a and b of the G = a + b x_0 by which sampling's eps becomes the one between x_0 and x_t.

    eps_theta - sqrt(1 - alpha_bar) G = (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar) is solved for G.
    """
    alpha_bar = schedule.at(t)
    noise = per_image((1 - alpha_bar).sqrt(), eps)
    return (eps - x_t / noise) / noise, per_image(alpha_bar.sqrt() / (1 - alpha_bar), eps)


class ConvEncoder(nn.Module):
    """Strided convolutions down to 4x4 features at most, attention at 16x16, all features into one linear layer."""

    def __init__(self, image_size: int, widths: Sequence[int], z_sem_width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, image_size
        for width in widths:
            if side % 2 or side // 2 < LOWEST_SIDE:
                break
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), group_norm(width), nn.SiLU()]
            channels, side = width, side // 2
            if side == ATTENTION_SIDE:
                layers.append(SelfAttention(width, width // ATTENTION_HEADS))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels * side**2, z_sem_width)

    def forward(self, x_0: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch z_sem"]:
        """Return z_sem of images in [-1, 1]."""
        z_sem: Tensor = self.head(self.features(x_0).flatten(1))
        return z_sem


class GradientEstimator(nn.Module):
    """G(x_t, t, z): a middle and a way up of its own, over the frozen UNet's way down; starts as zero."""

    def __init__(self, config: ModelConfig, skip_widths: Sequence[int]) -> None:
        super().__init__()
        unet, (channels, sides) = config.unet, levels_of(config)
        self.base_width, self.z_gain = unet.base_width, unet.z_gain
        self.time = embedding_mlp(unet.base_width, unet.embedding_width)
        self.style = embedding_mlp(config.z_sem_width, unet.embedding_width)
        self.middle = build_middle(unet, channels, sides)
        self.up = build_up(unet, channels, sides, skip_widths)
        self.norm = group_norm(channels[0])
        self.head = zero_init(nn.Conv2d(channels[0], 3 * config.pixel_unshuffle**2, 3, padding=1))
        factor = config.pixel_unshuffle
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(factor), nn.PixelShuffle(factor)
        pixels = (3 * factor**2, sides[0], sides[0])
        self.canvas = Canvas(unet.embedding_width, pixels) if unet.canvas else None

    def condition(self, z_sem: Float[Tensor, "batch z_sem"]) -> Condition:
        """Return what the estimator makes of z_sem before it has seen any x_t."""
        style = F.silu(self.style(self.z_gain * z_sem))
        return Condition(style, None if self.canvas is None else self.canvas(style))

    def forward(
        self,
        h: Float[Tensor, "batch lowest low_h low_w"],
        skips: list[Tensor],
        t: Num[Tensor, " batch"],
        condition: Condition,
        sides: tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 1 1"]],
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return G from what the way down has found in x_t; uses up the list of skips.

        `sides` are those of the G that leads to the canvas: what x_t and eps_theta say, and the canvas' factor.
        """
        time = F.silu(self.time(timestep_embedding(t, self.base_width)))
        h = climb(self.middle, self.up, h, skips, time, condition.style)
        gradient: Tensor = self.head(F.silu(self.norm(h)))
        if self.canvas is not None and condition.canvas is not None:
            given, factor = sides
            gradient = gradient + self.canvas.blend(self.unshuffle(given), factor * condition.canvas, time)
        result: Tensor = self.shuffle(gradient)
        return result


class Pdae(Baseline):
    """x_0 -> z_sem -> what a frozen DPM's prediction lacks."""

    def __init__(self, config: PipelineConfig, schema: AttributeSchema) -> None:
        super().__init__(config, schema)
        model, widths = config.model, config.baselines.pdae.encoder_widths
        self.dpm = Ddim(config, schema).requires_grad_(False).eval()
        self.encoder = ConvEncoder(model.image_size, widths, model.z_sem_width)
        self.estimator = GradientEstimator(model, self.dpm.unet.skip_widths)
        self.schedule = schedule_of(config.diffusion)

    def take_before(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of a trained `Ddim` of the same config into the DPM."""
        self.dpm.load_state_dict(weights)

    @property
    def frozen(self) -> Sequence[nn.Module]:
        """The DPM."""
        return (self.dpm,)

    def train(self, mode: bool = True) -> "Pdae":
        """Set the mode of what trains; the DPM stays in eval mode."""
        super().train(mode)
        self.dpm.eval()
        return self

    def goals(self) -> Sequence[Goal]:
        """Return the weighted error of the shifted prediction alone."""
        return [Goal("shift", self.loss, {"encoder": self.encoder, "estimator": self.estimator}, draw=self.draw)]

    def draw(self, samples: Samples, generator: torch.Generator) -> NoisyBatch:
        """Draw t and eps of each image."""
        return draw_noise(samples.images.flatten(0, 1), self.schedule, self.dpm.kind, generator)

    def loss(self, samples: Samples, draws: NoisyBatch) -> Terms:
        """Return E[w_t || eps - (eps_theta + c_t G) ||^2], the mean over images and pixels, and the canvas' part."""
        x_0 = samples.images.flatten(0, 1)
        condition = self.estimator.condition(self.encoder(x_0))
        eps, gradient = self.estimate(draws.x_t, draws.t, condition)
        shifted = eps + per_image(shift_coefficient(draws.t, self.schedule), eps) * gradient
        errors = per_image(loss_weight(draws.t, self.schedule), eps) * (draws.eps - shifted).square()
        shift, weight = errors.mean(), self.config.baselines.pdae.lambda_canvas
        unshuffle = self.estimator.unshuffle
        return add_canvas_loss(shift, {"shift": shift.detach()}, condition.canvas, x_0, unshuffle, weight)

    def estimate(
        self,
        x_t: Float[Tensor, "batch 3 height width"],
        t: Int64[Tensor, " batch"],
        condition: Condition,
    ) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 3 height width"]]:
        """Return the DPM's eps and the estimator's G; the way down is gone once, without gradients."""
        unet = self.dpm.unet
        with torch.no_grad():
            time, nothing = unet.time_embedding(t), self.dpm.condition(len(x_t))
            h, skips = unet.go_down(x_t, time, nothing)
            prediction = unet.go_up(h, list(skips), x_t, time, nothing)
            eps = predict_eps(prediction.float(), x_t, t, self.schedule, self.dpm.kind)
        return eps, self.estimator(h, skips, t, condition, canvas_sides(x_t, eps, t, self.schedule))

    def denoiser(self, z_sem: Float[Tensor, "batch z_sem"]) -> Denoise:
        """Return the predictor of eps at a fixed z_sem: eps_theta - sqrt(1 - alpha_bar_t) G."""
        condition = self.estimator.condition(z_sem)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            eps, gradient = self.estimate(x_t, t, condition)
            return eps - per_image((1 - self.schedule.at(t)).sqrt(), eps) * gradient

        return denoise

    def method(self, device: torch.device | str = "cpu") -> LatentDiffusionMethod:
        """Return the method that edits with these weights; single attributes once their ways are fitted."""
        self.to(device).eval()
        return LatentDiffusionMethod(self.encoder, self.denoiser, self.config, self.schema, device)
