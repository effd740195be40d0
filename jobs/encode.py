"""Encode all images to z_sem and say what it tells of them: python jobs/encode.py --config quick."""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Write the latents and their statistics, and print where they are."""
    arguments = parser(__doc__).parse_args()
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.pipeline import Pipeline

    pipeline = Pipeline(config)
    pipeline.encode()
    pipeline.check_told()
    print(pipeline.layout.latents)


if __name__ == "__main__":
    run(main)
