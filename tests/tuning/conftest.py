"""A sweep over the tiny stored latents."""

from pathlib import Path

import pytest

from diffusegae.schema import AttributeSchema
from diffusegae.tuning.job import SweepJob
from tests.stored_latents import sweep_config


@pytest.fixture
def job(latents: str, schema: AttributeSchema, tmp_path: Path) -> SweepJob:
    return SweepJob(
        config=sweep_config(f"storage={tmp_path}"),
        attributes=schema,
        latents=latents,
        folder=str(tmp_path / "tune"),
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        pipeline_run_id="",
    )
