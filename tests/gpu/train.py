"""Train all three stages on vehicles in memory within some minutes, and judge them: python -m tests.gpu.train.

    python -m tests.gpu.train --minutes 8 --out DIR

No cluster, no disk: pictures are rendered by all cores and kept as uint8 in the device's memory. Each stage is given
its share of the minutes: it is planned anew from its measured rate while its learning rate is still constant. DIR
gets figures.zip (figures, pictures, report.html) and the averaged weights in parts (tests/gpu/bundle.py).
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from diffusegae.checkpoint import CheckpointMeta
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.splits import Stratum
from diffusegae.editing.editor import Editor
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context, build_context
from diffusegae.evaluation.results import Finding, Judged
from diffusegae.evaluation.running import measure
from diffusegae.images import encode_image
from diffusegae.report.evaluation_page import Curves, summary_text, write_evaluation
from diffusegae.schema import AttributeSchema
from diffusegae.training.stages import StageInputs
from tests.gpu.budget import Shares
from tests.gpu.bundle import FIGURES, BundleError, write_parts, zip_folder
from tests.gpu.machine import describe, device_of, facts, synchronise
from tests.gpu.sizes import KIT_PRESET, preset
from tests.gpu.stage_run import Samples, StageRun, encode_all, statistics_of, train_stage
from tests.gpu.world import MemoryLookup, World, render_world

logger = logging.getLogger(__name__)

JUDGING_SHARE = 0.5  # of the time for judging that sampling may take; the rest is the judge's training and the probes
PROBE_STEPS = 4


def main() -> None:
    """Train, judge, write what comes back, print a table last."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default=KIT_PRESET, help="preset or YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the config")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it, rendering and judging included")
    parser.add_argument("--out", type=Path, default=Path("gpu-train"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=0, help="that render; 0: one per core")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config, device = preset(arguments.config, *arguments.set), device_of(arguments.device)
    deadline = time.monotonic() + 60 * arguments.minutes
    world = render_world(config, arguments.processes)
    rendered = 60 * arguments.minutes - (deadline - time.monotonic())
    logger.info("%d pictures rendered in %.1f s", len(world.pixels), rendered)
    runs = train_all(world, device, deadline)
    with tempfile.TemporaryDirectory() as folder:
        summary = judge(world, runs, device, deadline, Path(folder))
        text = "\n\n".join([describe(device), training_table(runs), summary])
        write_all(world, runs, text, device, Path(folder), arguments.out)
    print(text)


def train_all(world: World, device: torch.device, deadline: float) -> list[StageRun]:
    """Train the three stages one after another, each on what the one before has learned."""
    config, schema, shares = world.config, world.schema, Shares()
    pixels = Samples(world, torch.from_numpy(world.pixels).to(device), device)

    def left(stage: str) -> float:
        return shares.seconds_for(stage, deadline - time.monotonic())

    first = train_stage("pretrain", StageInputs(config, schema), pixels, left("pretrain"))
    z = encode_all(first.model, pixels)
    mean, covariance = statistics_of(z, world)
    inputs = StageInputs(config, schema, first.model.state_dict(), mean, covariance)
    second = train_stage("refine", inputs, Samples(world, z, device), left("refine"))
    inputs = StageInputs(config, schema, second.model.state_dict())
    return [first, second, train_stage("finetune", inputs, pixels, left("finetune"))]


def judge(world: World, runs: Sequence[StageRun], device: torch.device, deadline: float, output: Path) -> str:
    """Judge stages 2 and 3 on as many images as the rest of the time allows, at most the config's numbers."""
    config, schema = world.config, world.schema
    names = {"refine": "stage 2", "finetune": "stage 3"}
    editors = {names[run.name]: Editor(run.model, config, schema, device) for run in runs if run.name in names}
    seconds = JUDGING_SHARE * (deadline - time.monotonic()) / len(editors)
    settings = config.evaluate
    share = min(1.0, seconds * sampling_rate(next(iter(editors.values()))) / planned_steps(config))
    fewer = {name: max(8, int(share * getattr(settings, name))) for name in ("num_reconstructions", "num_edits")}
    logger.info("judging %s", fewer)
    judged = config.model_copy(update={"evaluate": settings.model_copy(update=fewer)})
    context = build_context(MemoryLookup(world), judged, schema)
    subjects = {name: [judge_one(name, editor, context, runs)] for name, editor in editors.items()}
    references = measure(context)
    write_evaluation(subjects, references, judged, schema, output, curves=curves_of(runs))
    return summary_text(subjects, references, schema)


def judge_one(name: str, editor: Editor, context: Context, runs: Sequence[StageRun]) -> Judged:
    """Measure one editor."""
    measured = measure(Bench.of(editor, context), "diffusegae")
    finding = Finding(
        name=name,
        title=name,
        seed=context.config.seed,
        metrics=measured.metrics,
        seconds=sum(run.seconds for run in runs),
        images=runs[0].num_samples,
        parameters=sum(editor.model.parameter_counts().values()),
        fingerprint=name,
    )
    return Judged(finding, measured)


def planned_steps(config: PipelineConfig) -> int:
    """Return the images times steps that judging one editor takes, in all three strata."""
    settings, m = config.evaluate, len(config.data.attributes)
    reconstructions = settings.num_reconstructions * (2 * config.sampling.steps + settings.edit_steps)
    return len(Stratum) * int(reconstructions + settings.edit_steps * settings.num_edits * ((2 + m) / m + 1))


def sampling_rate(editor: Editor) -> float:
    """Return how many images times steps an editor samples per second in the batches of judging."""
    sampling = editor.config.sampling.model_copy(update={"steps": PROBE_STEPS})
    quick, batch = editor.with_sampling(sampling), editor.config.evaluate.batch_size
    codes = quick.encode(torch.zeros(batch, 3, editor.image_size, editor.image_size))
    x_T = quick.noise(range(batch))
    quick.generate(codes, x_T)
    synchronise(editor.device)
    started = time.perf_counter()
    quick.generate(codes, x_T)
    synchronise(editor.device)
    return batch * PROBE_STEPS / (time.perf_counter() - started)


def curves_of(runs: Sequence[StageRun]) -> Curves:
    """Return what training reported, for the report's charts."""
    return {
        run.name: {
            name: [(report["samples"], report[name]) for report in run.reports if name in report]
            for name in dict.fromkeys(name for report in run.reports for name in report)
        }
        for run in runs
    }


def training_table(runs: Sequence[StageRun]) -> str:
    """Return the stages' samples, times and rates as text; rates are those of the last report."""
    rows = ["stage     samples  seconds  warm-up  samples/s  images/s  data wait  MFU    GPU GiB"]
    for run in runs:
        last: Mapping[str, float] = run.reports[-1]
        mfu, memory = (f"{last[name]:.3f}" if name in last else "-" for name in ("mfu", "gpu_memory_gib"))
        rows.append(
            f"{run.name:9} {run.num_samples:7d}  {run.seconds:7.1f}  {run.warm_seconds:7.1f}"
            f"  {last['samples_per_second']:9.1f}  {last['images_per_second']:8.1f}  {last['data_wait']:9.4f}"
            f"  {mfu:5}  {memory}"
        )
    return "\n".join(rows)


def write_all(world: World, runs: Sequence[StageRun], text: str, device: torch.device, folder: Path, out: Path) -> None:
    """Write the zip of figures, pictures and report, and the weights of the last stage in parts."""
    out.mkdir(parents=True, exist_ok=True)
    for run in runs:
        (folder / f"{run.name}.json").write_text(json.dumps(run.reports, indent=1))
        if run.grid is not None:
            (folder / f"{run.name}.png").write_bytes(encode_image(run.grid))
    (folder / "machine.json").write_text(json.dumps(facts(device), indent=1))
    (folder / "summary.txt").write_text(text)
    zip_folder(folder, out / FIGURES)
    try:
        write_parts(runs[-1].model.state_dict(), meta_of(runs[-1], world.schema), out)
    except BundleError as error:
        logger.warning("the checkpoint stays behind: %s", error)


def meta_of(run: StageRun, schema: AttributeSchema) -> CheckpointMeta:
    """Return what a checkpoint says of itself."""
    return CheckpointMeta(
        stage=run.name,
        samples_seen=run.num_samples,
        positions=(),
        seconds=run.seconds,
        config=run.config,
        attributes=schema,
        versions={"torch": version("torch")},
    )


if __name__ == "__main__":
    main()
