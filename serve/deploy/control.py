"""Deployment of the service and rollout of other model versions, through the dashboard of a Ray cluster.

A rollout changes the `user_config` of the running deployments and nothing else. Every replica stays, loads and checks
the other version beside the one that answers, and takes over; no request fails and no answer mixes two versions.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

from diffusegae.capacity import Ask, require_room
from diffusegae.config.load import ConfigError
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.shards import has_manifest
from diffusegae.layout import Layout
from diffusegae.tracking.registry import move_alias
from diffusegae.tracking.runs import tracking_uri
from serve.deploy.app import ServeArgs, describe_models, editor_name, model_source
from serve.http.security import require_safe_address
from serve.models.editors import CHECK_SECONDS, load_model
from serve.served import ServedModel, ServedModels

CONFIG_FILE = Path(__file__).with_name("config.yaml")
APPLICATION, INGRESS = "diffusegae", "Ingress"
POLL_SECONDS = 0.5
Config = dict[str, Any]


class DeploymentError(RuntimeError):
    """A deployment or rollout that failed; what ran before still runs."""


def served_by(config: PipelineConfig, named: Mapping[str, str], words: Sequence[str] = ()) -> Config:
    """Return the arguments that serve a pipeline's model, with its pictures as a gallery if it has some.

    Those that are named and not empty take the place of the config's, and words as max_replicas=2 that of any.
    """
    images, tracking = Layout.of(config).images, config.tracking
    pairs = (word.partition("=") for word in words)
    return {
        "tracking_uri": named.get("tracking_uri") or tracking_uri(config),  # which there is not for every storage
        "model_uri": f"models:/{tracking.model_name}@{tracking.alias}",
        "gallery": images if has_manifest(images) else "",
        **{key: value for key, value in named.items() if value},
        **{key: yaml.safe_load(value) for key, _, value in pairs},
    }


def checked(config: Config) -> Config:
    """Return a deployment's config if, as found here in seconds, nothing is wrong that would end it after minutes.

    Raises:
        ConfigError: an unknown or wrong argument, or an address of other machines without tokens.
        TrackingError: MLflow does not answer, or has no such model, or not its files.
    """
    try:
        args = ServeArgs.model_validate(config["applications"][0]["args"])
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"arguments of the service: {wrong}; there are {', '.join(ServeArgs.model_fields)}") from None
    require_safe_address(args.host, bool(args.tokens))
    describe_models(args)
    return config


def deployment_config(args: Mapping[str, Any], host: str, port: int, working_dir: str = "") -> Config:
    """Return the config of serve/deploy/config.yaml with another address and arguments.

    A working directory, as a job was submitted with, is where the replicas have the code from; else it is installed.
    """
    config: Config = yaml.safe_load(CONFIG_FILE.read_text())
    if working_dir:
        config["applications"][0]["runtime_env"] = {"working_dir": working_dir}
    config["http_options"] |= {"host": host, "port": port}
    config["applications"][0]["args"] |= {**args, "host": host}
    return config


def deploy(dashboard: str, config: Config, seconds: float) -> None:
    """Deploy a config and wait until the application answers.

    Raises:
        CapacityError: the cluster has no room for the models.
        DeploymentError: it did not come up, with the reason that Serve gives.
    """
    args = ServeArgs.model_validate(config["applications"][0]["args"])
    each = {"CPU": args.cpus_per_replica, "GPU": args.gpus_per_replica}
    settings = {"CPU": "--argument cpus_per_replica", "GPU": "--argument gpus_per_replica"}
    count, fewer = args.min_replicas * (1 + len(args.others)), "--argument min_replicas"
    require_room(Ask("the service", count, each, settings, fewer), seconds / 60)
    ServeSubmissionClient(dashboard).deploy_applications(config)
    _wait(dashboard, seconds, lambda application: application["status"] == "RUNNING")


def rollout(dashboard: str, seconds: float, version: str = "") -> list[ServedModel]:
    """Roll out the versions that the addresses of the running application mean now; return what is served then.

    With a version, move the alias of the first model to it before that. A version that reconstructs no picture is
    refused before anything has changed, the alias included.

    Raises:
        ConfigError: there is a version, but the first model is not served by an alias.
        DeploymentError: no application runs, or it did not take over.
        ModelCheckError: the version is no working model.
        TrackingError: there is no such version.
    """
    application = application_details(dashboard)
    deployed: Config = application["deployed_app_config"]
    args = ServeArgs.model_validate(deployed["args"])
    alias = args.model_uri.partition("@")[2]
    if version and not alias:
        raise ConfigError(f"the service serves {args.model_uri}, which has no alias to move; deploy it with one")
    models = describe_models(args, version)
    for served in models:
        _check(args, served)
    if version:
        move_alias(args.tracking_uri, models[0].name, alias, version)
    config = {"applications": [with_models(deployed, args, models)], **_http_options(dashboard)}
    ServeSubmissionClient(dashboard).deploy_applications(config)
    _wait(dashboard, seconds, lambda application: application["status"] == "RUNNING" and _is_settled(application))
    return models


def _check(args: ServeArgs, served: ServedModel) -> None:
    """Load a version here, apart from the service, and have it reconstruct a picture."""
    model = load_model(model_source(args.model_copy(update={"device": "cpu", "inference": None}), served))
    try:
        asyncio.run(model.check(CHECK_SECONDS))
    finally:
        model.close()


def with_models(deployed: Config, args: ServeArgs, models: list[ServedModel]) -> Config:
    """Return an application's config with other versions in its deployments."""
    configs = {INGRESS: ServedModels(models=tuple(models)).model_dump(mode="json")}
    for place, served in enumerate(models):
        configs[editor_name(served, is_first=place == 0)] = model_source(args, served).model_dump(mode="json")
    known = {entry["name"]: entry for entry in deployed.get("deployments", [])}
    entries = [{**known.get(name, {"name": name}), "user_config": config} for name, config in configs.items()]
    others = [entry for name, entry in known.items() if name not in configs]
    return {**deployed, "deployments": [*entries, *others]}


def application_details(dashboard: str) -> Config:
    """Return the details that Serve gives of the application; DeploymentError if there is none."""
    applications: Config = ServeSubmissionClient(dashboard).get_serve_details()["applications"]
    if APPLICATION not in applications:
        known = ", ".join(applications) or "none"
        raise DeploymentError(f"no application {APPLICATION!r} at {dashboard}, only: {known}; deploy it first")
    found: Config = applications[APPLICATION]
    return found


def _http_options(dashboard: str) -> Config:
    details = ServeSubmissionClient(dashboard).get_serve_details()
    http = {key: value for key, value in (details.get("http_options") or {}).items() if value is not None}
    return {"proxy_location": details["proxy_location"], "http_options": http}


def _is_settled(application: Config) -> bool:
    return all(deployment["status"] == "HEALTHY" for deployment in application["deployments"].values())


def _wait(dashboard: str, seconds: float, is_done: Callable[[Config], bool]) -> None:
    deadline = time.monotonic() + seconds
    while True:
        time.sleep(POLL_SECONDS)
        application = application_details(dashboard)
        if is_done(application):
            return
        if application["status"] in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise DeploymentError(f"{APPLICATION} is {application['status']}: {_reason(application['message'])}")
        if time.monotonic() > deadline:
            raise DeploymentError(f"{APPLICATION} is still {application['status']} after {seconds:g} s")


def _reason(message: str) -> str:
    """Return what Serve says of a failure, of a traceback only the last line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if "Traceback (most recent call last):" in message else " ".join(lines)
