"""How fast stage 1 of a finished run was, as its reports say."""

from diffusegae.pipeline import Pipeline
from diffusegae.tracking.runs import open_stage_run, read_history


def pretrain_rates(pipeline: Pipeline) -> list[float]:
    """Return the samples/s of every report, the first with the start-up's slowness in it."""
    run_id = open_stage_run(pipeline.tracking, pipeline.config, pipeline.run_id, "pretrain")
    return [rate for _, rate in read_history(pipeline.tracking, run_id, "pretrain/samples_per_second")]
