"""The application builder and the deploy file: what they take, what they refuse, what a rollout changes."""

from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from diffusegae.checkpoint import read_meta
from diffusegae.config.load import ConfigError
from diffusegae.config.model import SamplingConfig
from diffusegae.images import Framing
from diffusegae.tracking.client import TrackingError
from diffusegae.tracking.registry import RegisteredModel
from serve import app
from serve.deploy.app import ServeArgs, build_app, describe
from serve.deploy.control import with_models

ARGS = ServeArgs(tracking_uri="http://mlflow:5000")
CONFIG = Path(__file__).parents[3] / "serve" / "deploy" / "config.yaml"


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
    values = {"letter": torch.zeros(3, 12), "colour": torch.tensor([[0.0] * 12, [float("nan")] * 12])}
    served = describe(ARGS, RegisteredModel("diffusegae", "3", "file:///m"), read_meta(checkpoint), values, "champion")
    assert (served.alias, served.label, served.image_size) == ("champion", "diffusegae/3", 32)
    assert (served.num_timesteps, served.default_steps, served.samplers) == (1000, 4, ("dpm++", "ddim"))
    assert served.attributes.names == ("letter", "colour")
    assert served.centroid_values == {"letter": ("a", "b", "c"), "colour": ("red",)}


def test_the_framing_of_training_comes_with_the_checkpoint(checkpoint: Path) -> None:
    meta, registered = read_meta(checkpoint), RegisteredModel("diffusegae", "3", "file:///m")
    assert describe(ARGS, registered, meta, {}, "champion").framing == Framing("crop", "white")
    data = meta.config.data.model_copy(update={"resize": "pad", "background": "#204060"})
    meta = meta.model_copy(update={"config": meta.config.model_copy(update={"data": data})})
    assert describe(ARGS, registered, meta, {}, "champion").framing == Framing("pad", "#204060")


def test_a_model_of_many_steps_is_asked_for_fewer_if_a_request_names_none(checkpoint: Path) -> None:
    meta = read_meta(checkpoint)
    config = meta.config.model_copy(update={"sampling": SamplingConfig(steps=100)})
    registered, meta = RegisteredModel("diffusegae", "3", "file:///m"), meta.model_copy(update={"config": config})
    found = [
        describe(ARGS.model_copy(update={"steps": steps}), registered, meta, {}, "champion").default_steps
        for steps in (25, 60, 500)
    ]
    assert found == [25, 63, 100]  # no stride over 1000 leaves 60 steps


def test_the_former_import_path_works_and_names_the_new_one(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError):
        app.build_app(ServeArgs(tracking_uri="http://mlflow:5000", host="0.0.0.0"))
    assert "write serve.deploy.app:build_app" in caplog.text


def test_it_listens_elsewhere_only_with_tokens() -> None:
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0.*give a token file"):
        build_app(ServeArgs(tracking_uri="http://mlflow:5000", host="0.0.0.0"))


def test_a_rollout_changes_the_versions_and_nothing_else(checkpoint: Path) -> None:
    deployed = {"name": "diffusegae", "args": {"x": 1}, "deployments": [{"name": "Editor", "max_replicas_per_node": 1}]}
    args = ServeArgs(tracking_uri="http://mlflow:5000", others={"old": "models:/diffusegae/1"})
    models = [
        describe(ARGS, RegisteredModel("diffusegae", version, "file:///m"), read_meta(checkpoint), {}, alias)
        for version, alias in (("3", "champion"), ("1", "old"))
    ]
    config = with_models(deployed, args, models)
    assert {key: value for key, value in config.items() if key != "deployments"} == {
        key: value for key, value in deployed.items() if key != "deployments"
    }
    ingress, first, second = config["deployments"]
    assert ingress["name"] == "Ingress"
    assert [each["version"] for each in ingress["user_config"]["models"]] == ["3", "1"]
    assert (first["name"], first["max_replicas_per_node"]) == ("Editor", 1)
    assert first["user_config"]["served"]["version"] == "3"
    assert (second["name"], second["user_config"]["served"]["version"]) == ("Editor-old", "1")
