"""Export: a registered model as a folder that opens without MLflow and Ray, with its model card."""

import shutil
import tempfile
from pathlib import Path

from diffusegae.checkpoint import read_meta
from diffusegae.layout import SUMMARY
from diffusegae.report.card import CardFacts, write_card
from diffusegae.tracking.registry import download_checkpoint, resolve_model
from diffusegae.tracking.runs import read_stage_file

CARD = "README.md"


class ExportError(ValueError):
    """A folder that an export would overwrite."""


def export_model(uri: str, model_uri: str, directory: Path, license_name: str) -> None:
    """Write the weights, config, attributes and value codes of a registered version, and its card, to a new folder.

    `uri` is that of MLflow. The folder appears once it is whole.

    Raises:
        ExportError: there is something at `directory` already.
        TrackingError: MLflow does not answer, or there is no such model.
    """
    if directory.exists():
        raise ExportError(f"{directory} is there already; name a folder that an export may make, or move it away")
    model = resolve_model(uri, model_uri)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        checkpoint = download_checkpoint(uri, model.uri, Path(scratch))
        facts = CardFacts(
            name=f"{model.name} {model.version}",
            directory=directory.name,
            license=license_name,
            figures=read_stage_file(uri, model.run_id, "evaluate", f"evaluate/{SUMMARY}"),
        )
        (checkpoint / CARD).write_text(write_card(read_meta(checkpoint), facts), encoding="utf-8")
        shutil.move(checkpoint, directory)
