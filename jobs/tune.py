"""Search the GAE's settings on stored latents: python jobs/tune.py --config quick --trials 12.

Afterwards --confirm trains the config and the winner at full length with several seeds and compares them on the test
split.
"""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Run the sweep, or go on with it, and print what it found and where it is."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--trials", type=int, help="how many trials, the same as --set tune.num_trials=N")
    options.add_argument("--resume", action="store_true", help="go on with a sweep that was cut off")
    options.add_argument("--confirm", action="store_true", help="compare winner and config on the test split instead")
    arguments = options.parse_args()
    if arguments.trials is not None:
        arguments.set.append(f"tune.num_trials={arguments.trials}")
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.pipeline import Pipeline
    from diffusegae.tuning.confirm import confirm
    from diffusegae.tuning.job import SweepJob
    from diffusegae.tuning.sweep import run_sweep

    pipeline = Pipeline(config)
    pipeline.encode()
    job = SweepJob(
        config=config,
        attributes=pipeline.schema,
        latents=pipeline.layout.latents,
        folder=pipeline.layout.tuning,
        tracking_uri=pipeline.tracking,
        pipeline_run_id=pipeline.run_id,
    )
    print(confirm(job) if arguments.confirm else run_sweep(job, arguments.resume))


if __name__ == "__main__":
    run(main)
