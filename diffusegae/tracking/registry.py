"""The model registry: a finished checkpoint becomes a version of a named model, and a version a checkpoint again.

A version is a folder that MLflow can load anywhere: the averaged weights, their meta file, the signature, the pinned
requirements and this package's source.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from torch import Tensor

import diffusegae
from diffusegae.checkpoint import META, CheckpointMeta, read_meta, read_tensors, save_checkpoint
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tracking import pyfunc
from diffusegae.tracking.client import TrackingError, connect, explained
from diffusegae.tracking.moved import ARTIFACTS

CHECKPOINT_IN_MODEL, VALUES = "data/checkpoint", "values"
FINGERPRINT_TAG, STAGE_TAG, ALIAS_TAG = "diffusegae.fingerprint", "diffusegae.stage", "diffusegae.alias"
REQUIREMENTS = ("mlflow", "torch", "numpy", "pillow", "pydantic", "safetensors", "jaxtyping", "einops", "pyyaml")
_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


class RegisteredModel(NamedTuple):
    """One version of a registered model, the address of its files and the run that it is of."""

    name: str
    version: str
    source: str
    run_id: str = ""  # of the pipeline that made it

    @property
    def uri(self) -> str:
        """The address that means this very version, whatever aliases do."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    uri: str,
    run_id: str,
    checkpoint: Path,
    config: PipelineConfig,
    measure_values: Callable[[], Mapping[str, Tensor]] | None = None,
) -> RegisteredModel:
    """Register a finished checkpoint under the config's model name and give the new version the config's alias.

    The same checkpoint again is the version that exists, and the alias stays where it is: to run a finished pipeline
    again must not move what is served. A new version also holds the value codes, if they can be measured.

    Raises:
        CheckpointError: the directory is not a whole checkpoint.
    """
    name, client = config.tracking.model_name, connect(uri)
    with tempfile.TemporaryDirectory() as scratch, explained(uri):
        lean = Path(scratch, "checkpoint")
        meta = _without_training_state(checkpoint, lean)
        fingerprint = _fingerprint(lean)
        _ensure_model(client, name)
        found = _find(client, name, fingerprint)
        if found is None:
            if measure_values is not None:
                save_checkpoint(lean, meta, {VALUES: measure_values()})
            # A folder of its own for each checkpoint: a later one of the same run must not overwrite this version.
            source = _upload(
                client, run_id, _save_model(lean, meta, Path(scratch, "model")), f"models/{fingerprint[:16]}"
            )
            tags = {FINGERPRINT_TAG: fingerprint, STAGE_TAG: meta.stage}
            found = client.create_model_version(name, source, run_id=run_id, tags=tags)
        if ALIAS_TAG not in found.tags:  # new, or its registration was cut off
            client.set_registered_model_alias(name, config.tracking.alias, str(found.version))
            client.set_model_version_tag(name, str(found.version), ALIAS_TAG, config.tracking.alias)
    return _registered(found)


def resolve_model(uri: str, model_uri: str) -> RegisteredModel:
    """Return the version that `models:/name@alias` or `models:/name/version` means now.

    Raises:
        TrackingError: the address is of another form, or there is no such model, alias or version; names what there is.
    """
    match = _MODEL_URI.fullmatch(model_uri)
    if match is None:
        raise TrackingError(
            f"{model_uri!r} is not a model address; write models:/diffusegae@champion or models:/diffusegae/3"
        )
    name, alias, number = match["name"], match["alias"], match["version"]
    client = connect(uri)
    try:
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        raise TrackingError(f"there is no {model_uri} at {uri}; {_what_there_is(client, name)}") from error
    return _registered(found)


def download_checkpoint(uri: str, model_uri: str, destination: Path) -> Path:
    """Copy the checkpoint of a registered version into a folder and return the checkpoint's directory."""
    return _download(uri, resolve_model(uri, model_uri), "", destination)


def read_registered_meta(uri: str, model_uri: str) -> CheckpointMeta:
    """Read what is known of a registered version without its weights."""
    with tempfile.TemporaryDirectory() as folder:
        return read_meta(_download(uri, resolve_model(uri, model_uri), f"/{META}", Path(folder)).parent)


def move_alias(uri: str, name: str, alias: str, version: str) -> None:
    """Let an alias mean another version; TrackingError if there is none of that number."""
    model = resolve_model(uri, f"models:/{name}/{version}")
    with explained(uri):
        connect(uri).set_registered_model_alias(name, alias, model.version)


def read_registered_values(uri: str, model_uri: str) -> dict[str, Tensor]:
    """Read the value codes of a registered version, {} if it was registered without."""
    model = resolve_model(uri, model_uri)
    with tempfile.TemporaryDirectory() as folder, explained(uri):
        held = [str(file.path) for file in list_artifacts(f"{model.source}/{CHECKPOINT_IN_MODEL}", tracking_uri=uri)]
        if not any(path.endswith(f"{VALUES}.safetensors") for path in held):
            return {}
        return read_tensors(_download(uri, model, f"/{VALUES}.safetensors", Path(folder)).parent, VALUES)


def _download(uri: str, model: RegisteredModel, file: str, destination: Path) -> Path:
    source = f"{model.source}/{CHECKPOINT_IN_MODEL}{file}"
    if source.startswith("/") and not Path(source).exists():
        raise TrackingError(
            f"the files of {model.uri} are not where {uri} has them: {source} does not exist. Where the storage was"
            f" moved, move its mlflow.db and {ARTIFACTS} together, and give jobs/pipeline.py its new address once"
        )
    with explained(uri):
        return Path(download_artifacts(artifact_uri=source, dst_path=str(destination), tracking_uri=uri))


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name, description="DiffuseGAE: attribute editing by group-supervised diffusion")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _find(client: MlflowClient, name: str, fingerprint: str) -> ModelVersion | None:
    mine = f"name = '{name}' and tags.`{FINGERPRINT_TAG}` = '{fingerprint}'"
    found = client.search_model_versions(mine, max_results=1)
    return found[0] if found else None


def _without_training_state(checkpoint: Path, target: Path) -> CheckpointMeta:
    """Copy what a model needs to be used; optimizers and raw weights stay with the run."""
    meta = read_meta(checkpoint)
    save_checkpoint(target, meta, {"ema": read_tensors(checkpoint, "ema")})
    return meta


def _save_model(checkpoint: Path, meta: CheckpointMeta, target: Path) -> Path:
    mlflow.pyfunc.save_model(
        str(target),
        loader_module=pyfunc.__name__,
        data_path=str(checkpoint),
        code_paths=[str(Path(diffusegae.__file__).parent)],
        pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
        signature=pyfunc.signature_of(meta),
        input_example=pyfunc.example_of(meta),
    )
    return target


def _upload(client: MlflowClient, run_id: str, model: Path, folder: str) -> str:
    client.log_artifacts(run_id, str(model), folder)
    return f"{client.get_run(run_id).info.artifact_uri}/{folder}"


def _fingerprint(checkpoint: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(checkpoint.iterdir()):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _registered(found: ModelVersion) -> RegisteredModel:
    return RegisteredModel(str(found.name), str(found.version), str(found.source), str(found.run_id or ""))


def _what_there_is(client: MlflowClient, name: str) -> str:
    models = {str(model.name): model for model in client.search_registered_models()}
    if name not in models:
        return f"its models are: {', '.join(models) or 'none'}. Run the pipeline to register one"
    aliases = ", ".join(f"{alias} (version {number})" for alias, number in models[name].aliases.items())
    versions = [int(found.version) for found in client.search_model_versions(f"name = '{name}'")]
    return f"{name!r} has the aliases: {aliases or 'none'}; its latest version is {max(versions, default='none')}"
