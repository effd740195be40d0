"""How many steps DPM-Solver++ needs for what DDIM does in 100: LPIPS over steps for both, as a table and a curve.

    python -m tests.benchmarks.bench_samplers [--config quick] [--images 32] [--picture docs/pictures/samplers.png]

Uses the model that `make demo` trained and held-out pictures. Two questions, each with the sampler's own inversion:
how far a picture from random x_T is from the one that DDIM makes of the same x_T in 100 steps, and how well a picture
comes back from its inferred x_T. DPM-Solver++ matches where its LPIPS is at most .005 above that of DDIM, T = 100.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from diffusegae.config.load import load_config
from diffusegae.config.model import SamplingConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.shards import read_manifest
from diffusegae.diffusion.samplers import SAMPLERS, SamplerName
from diffusegae.editing.editor import Editor
from diffusegae.editing.loading import load_editor
from diffusegae.layout import Layout
from diffusegae.metrics.features import LpipsDistance
from diffusegae.pixels import to_tensor
from diffusegae.training.launch import read_done
from jobs.cli import PRESETS

STEPS, REFERENCE, MARGIN = (3, 5, 7, 10, 12, 15, 20, 25, 50, 100), 100, 0.005
QUESTIONS = ("from random x_T, to DDIM's picture in 100 steps", "from inferred x_T, to the picture itself")
Curves = dict[tuple[SamplerName, int], tuple[float, float]]  # by sampler and steps: the answer to each question


def load(preset: str, count: int) -> tuple[Editor, Float[Tensor, "images 3 height width"]]:
    """Return the demo's editor and held-out pictures."""
    layout = Layout.of(load_config(preset, [], PRESETS))
    done = read_done(layout.stages("finetune"), "finetune")
    if done is None:
        raise SystemExit(f"error: {layout.root} has no finished stage 3; run `make demo` first")
    lookup = ImageLookup(layout.images, read_manifest(layout.images))
    rows = lookup.sample(count, held_out=True, generator=np.random.default_rng(0))
    return load_editor(Path(done.checkpoint)), torch.stack([to_tensor(pixels) for pixels in lookup.take(rows)])


@torch.inference_mode()
def measure(editor: Editor, images: Float[Tensor, "images 3 height width"]) -> Curves:
    """Return the mean LPIPS of both questions for each sampler and number of steps."""
    distance, seeds, codes = LpipsDistance.from_package(), range(len(images)), editor.encode(images)
    truth = _sampled(editor, "ddim", REFERENCE).decode(codes, seeds)
    found: Curves = {}
    for sampler in SAMPLERS:
        for steps in STEPS:
            quick = _sampled(editor, sampler, steps)
            pairs = ((quick.decode(codes, seeds), truth), (quick.reconstruct(images), images))
            drawn, back = (float(distance(made, wanted).mean()) for made, wanted in pairs)
            found[sampler, steps] = (drawn, back)
            print(f"{sampler:6s} {steps:4d} steps   {drawn:.4f}   {back:.4f}", flush=True)
    return found


def _sampled(editor: Editor, sampler: SamplerName, steps: int) -> Editor:
    return editor.with_sampling(SamplingConfig(sampler=sampler, steps=steps, clip=editor.sampling.clip))


def fewest(found: Curves, question: int) -> int | None:
    """Return the fewest steps of DPM-Solver++ from which on it stays within the margin."""
    bar = found["ddim", REFERENCE][question] + MARGIN
    matching = [all(found["dpm++", more][question] <= bar for more in STEPS if more >= steps) for steps in STEPS]
    return next((steps for steps, matches in zip(STEPS, matching, strict=True) if matches), None)


def draw(found: Curves, path: Path) -> None:
    """Write the curves as a picture."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    for question, axes in enumerate(np.atleast_1d(figure.subplots(1, len(QUESTIONS)))):
        _draw_question(axes, found, question)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, facecolor="white")


def _draw_question(axes: Any, found: Curves, question: int) -> None:
    bar = found["ddim", REFERENCE][question] + MARGIN
    for sampler, colour, name in (("ddim", "#777777", "DDIM"), ("dpm++", "#d1304b", "DPM-Solver++(2M)")):
        axes.plot(STEPS, [found[sampler, steps][question] for steps in STEPS], "o-", color=colour, label=name)  # type: ignore[index]
    axes.axhline(bar, color="#222222", linestyle=":", label=f"DDIM, T = {REFERENCE}, + {MARGIN}")
    axes.set_xscale("log")
    axes.set_xticks(STEPS, [str(steps) for steps in STEPS])
    axes.minorticks_off()
    axes.set(xlabel="steps (network calls)", ylabel="LPIPS (AlexNet)", title=QUESTIONS[question], ylim=(0, None))
    axes.legend(frameon=False)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="quick")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--picture", type=Path, default=Path("runs/samplers.png"))
    arguments = parser.parse_args()
    print(f"mean LPIPS over {arguments.images} held-out pictures: {QUESTIONS[0]}; {QUESTIONS[1]}")
    found = measure(*load(arguments.config, arguments.images))
    for question, what in enumerate(QUESTIONS):
        print(f"{what}: DPM-Solver++ matches from {fewest(found, question)} steps on")
    draw(found, arguments.picture)
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
