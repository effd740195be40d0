"""Profile the steps of a stage where a worker of it would run: python jobs/profile.py --config quick --stage pretrain.

It trains nothing that is kept, and needs what the stage needs: the ingested images and the stage before.
"""

from diffusegae.config.baselines import BaselinesConfig
from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Print what the steps take, and where their trace is: open it in https://ui.perfetto.dev."""
    options = parser(__doc__)
    stages = ("pretrain", "refine", "finetune", *BaselinesConfig.model_fields)
    options.add_argument("--stage", choices=stages, required=True, help="a stage of ours, or a baseline")
    options.add_argument("--steps", type=int, default=20, help="steps to measure, and again to trace")
    arguments = options.parse_args()
    if arguments.steps < 1:
        options.error(f"--steps is {arguments.steps}; expected 1 or more")
    config = config_of(arguments)
    connect(arguments.address)
    import ray

    from diffusegae.pipeline import Pipeline
    from diffusegae.training.launch import WORKER_ENVIRONMENT, require_workers
    from diffusegae.training.profiling import profile_stage

    pipeline, resources = Pipeline(config), config.resources
    job, trace = pipeline.job(arguments.stage), pipeline.layout.profile(arguments.stage)
    require_workers("profiling", resources, count=1)
    task = ray.remote(profile_stage).options(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        resources=resources.worker_resources,
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
        max_retries=0,
    )
    try:
        print(ray.get(task.remote(job, trace, arguments.steps)))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error  # a library's error ends with its own line, as in the other jobs
    print(f"trace: {trace}")


if __name__ == "__main__":
    run(main)
