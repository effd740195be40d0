"""Train one stage, or a baseline: python jobs/train.py --config quick --stage pretrain."""

from diffusegae.config.baselines import BaselinesConfig
from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Train the stage, or continue it, and print its checkpoint."""
    options = parser(__doc__)
    stages = ("pretrain", "refine", "finetune", *BaselinesConfig.model_fields)
    options.add_argument("--stage", choices=stages, required=True, help="a stage of ours, or a baseline")
    arguments = options.parse_args()
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.pipeline import Pipeline

    print(Pipeline(config).train(arguments.stage).checkpoint)


if __name__ == "__main__":
    run(main)
