"""Ingest images into Parquet shards: python jobs/ingest.py --config quick."""

from jobs.cli import config_of, connect, parser, run


def main() -> None:
    """Write the config's data set and print where it is."""
    options = parser(__doc__)
    options.add_argument("--refresh", action="store_true", help="make the set anew from what its source holds now")
    arguments = options.parse_args()
    config = config_of(arguments)
    connect(arguments.address)
    from diffusegae.data.ingest import ingest
    from diffusegae.data.splits import STRATA
    from diffusegae.layout import Layout
    from diffusegae.report.data_page import write_data_page

    layout = Layout.of(config)
    rate = config.resources.rates.get("ingest", 0.0)
    manifest = ingest(config.data, config.model.image_size, layout.images, rate, refresh=arguments.refresh)
    held = ", ".join(f"{count:,} {name}" for name, count in zip(STRATA, manifest.held_counts, strict=True))
    print(
        f"{manifest.num_rows:,} images, {manifest.num_held_out:,} held out ({held}), skipped {dict(manifest.skipped)}"
    )
    if page := write_data_page(layout.images):
        print(f"look at it: {page}")
    print(layout.images)


if __name__ == "__main__":
    run(main)
