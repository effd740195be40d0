"""Judge the trained model and write report.html: python jobs/evaluate.py --config quick."""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Judge stages 2 and 3 side by side and print the report's path."""
    arguments = parser(__doc__).parse_args()
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.pipeline import Pipeline

    pipeline = Pipeline(config)
    print(pipeline.evaluate())
    print(pipeline.layout.evaluation)


if __name__ == "__main__":
    run(main)
