"""The UNet against diffusers' UNet2DModel of the same widths, on two CPU cores, in one run.

    python -m tests.benchmarks.bench_unet [--rounds 15]

Both see 64 x 64 pixels with 64 x (1, 2, 4, 8) channels, two blocks per level, attention of 64-channel heads at feature
side 16 and in the middle, embeddings of 256 channels, float32. A training step is forward and backward of a mean
square; a denoising step is a call in inference mode (ours under a condition computed once, as samplers do).
Rounds alternate; the figure is the median over rounds of the ratio of our rate to theirs. Parameters and FLOPs show
how equal the two are: ours has z_sem's path (AdaGN, Eq. 8) on top.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from diffusegae.config.model import ModelConfig, UNetConfig
from diffusegae.models.unet import UNet

SIDE, WIDTH, MULTIPLIERS, BLOCKS, ATTENTION, HEAD, Z_SEM = 64, 64, (1, 2, 4, 8), 2, 16, 64, 512
TRAINING_BATCH, DENOISING_BATCHES = 8, (1, 8)

Step = Callable[[], object]


def our_unet() -> UNet:
    """Return this library's UNet."""
    unet = UNetConfig(
        base_width=WIDTH,
        multipliers=MULTIPLIERS,
        num_res_blocks=BLOCKS,
        attention_resolutions=(ATTENTION,),
        head_width=HEAD,
        embedding_width=4 * WIDTH,
        dropout=0.0,
    )
    return UNet(ModelConfig(image_size=SIDE, z_sem_width=Z_SEM, unet=unet))


def their_unet() -> nn.Module:
    """Return diffusers' UNet."""
    attends = [SIDE >> level == ATTENTION for level in range(len(MULTIPLIERS))]
    model: nn.Module = UNet2DModel(
        sample_size=SIDE,
        block_out_channels=tuple(WIDTH * multiplier for multiplier in MULTIPLIERS),
        layers_per_block=BLOCKS,
        attention_head_dim=HEAD,
        down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
        up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
    )
    return model


def training_step(model: nn.Module, predict: Callable[[], Tensor]) -> Step:
    """Return a call that runs the network forward and backward into fresh gradients."""

    def step() -> None:
        model.zero_grad(set_to_none=True)
        predict().square().mean().backward()

    return step


def training_steps(batch: int) -> tuple[Step, Step]:
    """Return our training step and theirs on one batch."""
    x_t, t, z_sem = torch.randn(batch, 3, SIDE, SIDE), torch.randint(0, 1000, (batch,)), torch.randn(batch, Z_SEM)
    ours, theirs = our_unet().train(), their_unet().train()
    return (
        training_step(ours, lambda: ours(x_t, t, z_sem)),
        training_step(theirs, lambda: theirs(x_t, t, return_dict=False)[0]),
    )


def denoising_steps(batch: int) -> tuple[Step, Step]:
    """Return our denoising step and theirs on one batch."""
    x_t, t, z_sem = torch.randn(batch, 3, SIDE, SIDE), torch.randint(0, 1000, (batch,)), torch.randn(batch, Z_SEM)
    ours, theirs = our_unet().eval(), their_unet().eval()
    with torch.inference_mode():
        condition = ours.condition(z_sem)
    return (
        torch.inference_mode()(lambda: ours.denoise(x_t, t, condition)),
        torch.inference_mode()(lambda: theirs(x_t, t, return_dict=False)[0]),
    )


def seconds(step: Step) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def compare(name: str, steps: tuple[Step, Step], batch: int, rounds: int) -> None:
    """Print both rates and FLOPs, and the ratio of the rates."""
    flops = []
    for step in steps:
        with FlopCounterMode(display=False) as counter:
            step()
        flops.append(counter.get_total_flops() / batch / 1e9)
        step()
    times = [(seconds(steps[0]), seconds(steps[1])) for _ in range(rounds)]
    ours, theirs = (batch / statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(their_time / our_time for our_time, their_time in times)
    print(
        f"{name:20} ours {ours:6.2f} images/s, {flops[0]:6.2f} GFLOP an image"
        f" | diffusers {theirs:6.2f} images/s, {flops[1]:6.2f} GFLOP | ratio {ratio:.3f}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(2)
    torch.manual_seed(0)
    for name, model in (("ours", our_unet()), ("diffusers", their_unet())):
        print(f"{name:10} {sum(weight.numel() for weight in model.parameters()) / 1e6:6.2f} M parameters")
    compare(f"training, batch {TRAINING_BATCH}", training_steps(TRAINING_BATCH), TRAINING_BATCH, rounds)
    for batch in DENOISING_BATCHES:
        compare(f"denoising, batch {batch}", denoising_steps(batch), batch, rounds)


if __name__ == "__main__":
    main()
