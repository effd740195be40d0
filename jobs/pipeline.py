"""The whole road from one config, images to registered model: python jobs/pipeline.py --config quick."""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Run what is not done yet, then print the probe matrix, the report, the model version and how to serve it."""
    options = parser(__doc__)
    options.add_argument("--refresh", action="store_true", help="make the images anew from what their source holds now")
    arguments = options.parse_args()
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.pipeline import Pipeline

    print(Pipeline(config).run(arguments.refresh))
    print(f"serve it:  make serve CONFIG={arguments.config}")


if __name__ == "__main__":
    run(main)
