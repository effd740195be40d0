"""Train one stage: python jobs/train.py --config quick --stage pretrain."""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Train the stage, or continue it, and print its checkpoint."""
    options = parser(__doc__)
    options.add_argument("--stage", choices=("pretrain", "refine", "finetune"), required=True)
    arguments = options.parse_args()
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.pipeline import Pipeline

    print(Pipeline(config).train(arguments.stage).checkpoint)


if __name__ == "__main__":
    run(main)
