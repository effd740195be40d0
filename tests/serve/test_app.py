from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from diffusegae.checkpoint import read_meta
from diffusegae.tracking.client import TrackingError
from diffusegae.tracking.registry import RegisteredModel
from serve.app import ServeArgs, build_app, describe

CONFIG = Path(__file__).parents[2] / "serve" / "config.yaml"


def test_the_deploy_file_names_this_builder_and_only_known_keys() -> None:
    content = yaml.safe_load(CONFIG.read_text())
    (application,) = content["applications"]
    assert application["import_path"] == f"{build_app.__module__}:{build_app.__name__}"
    assert ServeArgs.model_validate(application["args"]).model_uri == "models:/diffusegae@champion"
    # Ray accepts unknown keys without a word, so they are compared with its schema here.
    parsed = ServeDeploySchema.model_validate(content).model_dump(mode="json")
    assert set(content) <= set(parsed)
    assert set(content["http_options"]) <= set(parsed["http_options"])
    assert set(application) <= set(parsed["applications"][0])


def test_arguments_reject_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="num_replicas"):
        ServeArgs.model_validate({"tracking_uri": "http://mlflow:5000", "num_replicas": 2})


def test_a_missing_registry_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="no MLflow database"):
        build_app(ServeArgs(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"))


def test_the_description_is_the_checkpoints(checkpoint: Path) -> None:
    served = describe(RegisteredModel("diffusegae", "3", "file:///m"), read_meta(checkpoint))
    assert (served.label, served.image_size, served.num_timesteps, served.default_steps) == (
        "diffusegae/3",
        32,
        1000,
        4,
    )
    assert served.attributes.names == ("letter", "colour")
