"""What checkpoints cost a training: stage 1 of `quick` with and without them, in alternating rounds.

    python -m tests.benchmarks.bench_checkpoint [--every 10] [--steps 60]

One checkpoint each 200 steps would drown in the noise of a shared machine. So they are taken each `--every` steps, and
what a single one costs is set against the time of 200 steps. All of it counts: saving, and the upload in the background
that takes turns with training on the same cores.
"""

import argparse
import statistics
import tempfile

from mlflow import MlflowClient

from diffusegae.config.load import load_config
from diffusegae.pipeline import Pipeline
from diffusegae.tracking.runs import open_stage_run
from jobs.cli import PRESETS, connect

STEPS_BETWEEN = 200


def seconds_of(storage: str, name: str, steps: int, every: int) -> float:
    """Return the seconds between the first report and the last of a run that reports each `every` steps."""
    batch = load_config("quick", [], PRESETS).pretrain.batch_size
    checkpoint = batch * (every if name.startswith("with-") else 10**6)
    overrides = {
        "storage": storage,
        "name": name,
        "pretrain.num_samples": batch * (steps + every + 1),  # the last step always saves: it is left out
        "pretrain.report_every_samples": batch * every,
        "pretrain.checkpoint_every_samples": checkpoint,
    }
    config = load_config("quick", [f"{key}={value}" for key, value in overrides.items()], PRESETS)
    pipeline = Pipeline(config)
    pipeline.ingest()
    pipeline.train("pretrain")
    run_id = open_stage_run(pipeline.tracking, config, pipeline.run_id, "pretrain")
    history = MlflowClient(pipeline.tracking).get_metric_history(run_id, "pretrain/simple")
    times = {point.step // batch: point.timestamp / 1000 for point in history}
    return times[steps + every] - times[every]


def main() -> None:
    """Run the rounds and print the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    connect("")
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as storage:
        for number in range(arguments.rounds):
            for kind, found in seconds.items():
                found.append(seconds_of(storage, f"{kind}-{number}", arguments.steps, arguments.every))
    plain, saving = (statistics.median(found) for found in seconds.values())
    one, step = (saving - plain) / (arguments.steps / arguments.every), plain / arguments.steps
    print(f"a step                      {step:8.3f} s")
    print(f"a checkpoint                {one:8.3f} s more (single rounds: {seconds})")
    print(f"cost, one each {STEPS_BETWEEN} steps    {100 * one / (STEPS_BETWEEN * step):8.2f} %")


if __name__ == "__main__":
    main()
