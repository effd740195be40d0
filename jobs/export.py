"""Write a registered model as a folder that needs neither Ray nor MLflow: python jobs/export.py MODEL DIR.

The folder holds weights (safetensors), config and attributes (meta.json), the codes of all values, and a model card.
"""

from pathlib import Path

from jobs.cli import config_of, parser, run


def main() -> None:
    """Export, and print where the folder is and how it is opened."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("model", help="models:/NAME@ALIAS or models:/NAME/VERSION")
    options.add_argument("directory", type=Path, help="folder to make; it must not exist yet")
    options.add_argument("--license", default="unknown", help="licence of the weights, for the model card")
    arguments = options.parse_args()
    config = config_of(arguments)
    from diffusegae.export import export_model
    from diffusegae.tracking.runs import tracking_uri

    export_model(tracking_uri(config), arguments.model, arguments.directory, arguments.license)
    print(f"model:  {arguments.directory.absolute()}")
    print(f'opens:  diffusegae.models.autoencoder.DiffuseGAE.from_pretrained("{arguments.directory}")')


if __name__ == "__main__":
    run(main)
