"""The application builder of Ray Serve: `import_path: serve.deploy.app:build_app`, with `ServeArgs` as its args.

Aliases are resolved here, once: every replica gets the same version, whatever happens to the alias meanwhile.
"""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application

from diffusegae.checkpoint import CheckpointMeta
from diffusegae.config.inference import InferenceConfig
from diffusegae.diffusion.samplers import SamplerName
from diffusegae.editing.values import ValueCodes, known_values
from diffusegae.tracking.registry import (
    RegisteredModel,
    read_registered_meta,
    read_registered_values,
    resolve_model,
)
from serve.deploy.ingress import IngressConfig, IngressDeployment
from serve.http.checks import Limits, step_count_from
from serve.http.security import allowed_hosts, require_safe_address
from serve.models.editors import EditorDeployment, ModelSource
from serve.models.job_store import JobsDeployment
from serve.served import ServedModel, ServedModels

INGRESS_ONGOING, INGRESS_TARGET, INGRESS_CPUS = 1000, 100, 0.1
JOBS_ONGOING, JOBS_CPUS = 1000, 0.05
HEALTH_SECONDS, DRAIN_SECONDS = 30, 60
MEBIBYTE = 2**20


class ServeArgs(BaseModel):
    """The arguments of the service: models, access and resources."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking_uri: str = Field(description="MLflow server or database that holds the registered models.")
    model_uri: str = Field("models:/diffusegae@champion", description="Alias or version that is served.")
    others: dict[str, str] = Field(
        {}, description="More models to serve beside it: the name in ?model= to its address."
    )
    gallery: str = Field("", description="Ingested data set (folder or s3://) whose pictures the page offers.")
    host: str = Field("127.0.0.1", description="Address that Serve listens on, as in http_options.")
    tokens: str = Field("", description="Token file; without one everybody who can connect may use the service.")
    device: str = Field("cpu", description="Torch device of the models.")
    inference: InferenceConfig | None = Field(
        None, description="Precision of the network and what accelerates it; by default what suits the device."
    )
    cpus_per_replica: float = Field(1, ge=0, description="CPUs of a model replica.")
    gpus_per_replica: float = Field(0, ge=0, description="GPUs of a model replica; a fraction shares one.")
    min_replicas: int = Field(1, ge=1, description="Replicas of each model at rest.")
    max_replicas: int = Field(1, ge=1, description="Replicas of each model under load.")
    target_ongoing_requests: float = Field(8, gt=0, description="Requests per model replica that scaling aims at.")
    upscale_seconds: float = Field(10, ge=0, description="How long load must be high before replicas are added.")
    downscale_seconds: float = Field(120, ge=0, description="How long load must be low before replicas are removed.")
    max_ongoing_requests: int = Field(32, ge=1, description="Requests that a model replica works on at once.")
    max_queued_requests: int = Field(64, ge=0, description="Requests that wait in an ingress; more get a 503.")
    ingress_min_replicas: int = Field(1, ge=1, description="Ingress replicas at rest.")
    ingress_max_replicas: int = Field(1, ge=1, description="Ingress replicas under load.")
    max_images: int = Field(16, ge=1, description="Images per call of the network.")
    sampler: SamplerName = Field("dpm++", description="Sampler of requests that name none.")
    steps: int = Field(25, ge=1, description="Steps of requests that name none; a model's own where those are fewer.")
    cache_megabytes: int = Field(256, ge=0, description="Memory of a replica for codes and noise of repeated pictures.")
    limits: Limits = Limits()


def build_app(args: ServeArgs) -> Application:
    """Return the application: ingress, editors and jobs, set to the versions that the addresses mean now.

    Raises:
        ConfigError: it would listen where other machines can connect, without tokens.
        TrackingError: MLflow does not answer, or has no such model.
    """
    require_safe_address(args.host, bool(args.tokens))
    models = describe_models(args)
    editors = {
        served.alias: _editor(args, served).options(name=editor_name(served, is_first=place == 0)).bind()
        for place, served in enumerate(models)
    }
    jobs = serve.deployment(name="Jobs", ray_actor_options={"num_cpus": JOBS_CPUS}, max_ongoing_requests=JOBS_ONGOING)(
        JobsDeployment
    )
    ingress = serve.deployment(
        name="Ingress",
        user_config=ServedModels(models=tuple(models)).model_dump(mode="json"),
        ray_actor_options={"num_cpus": INGRESS_CPUS},
        autoscaling_config={
            "min_replicas": args.ingress_min_replicas,
            "max_replicas": args.ingress_max_replicas,
            "target_ongoing_requests": INGRESS_TARGET,
        },
        max_ongoing_requests=INGRESS_ONGOING,
        health_check_timeout_s=HEALTH_SECONDS,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
    )(IngressDeployment)
    config = IngressConfig(
        limits=args.limits,
        gallery=args.gallery,
        schema_of_gallery=models[0].attributes if args.gallery else None,
        tokens=args.tokens,
        hosts=allowed_hosts(args.host, bool(args.tokens)),
    )
    return ingress.bind(editors, jobs.bind(editors), config)


def editor_name(served: ServedModel, is_first: bool) -> str:
    """Return the name of a model's deployment."""
    return "Editor" if is_first else f"Editor-{served.alias}"


def model_source(args: ServeArgs, served: ServedModel) -> ModelSource:
    """Return the source that a replica loads its model from: the `user_config` of its deployment."""
    return ModelSource(
        tracking_uri=args.tracking_uri,
        device=args.device,
        inference=args.inference,
        max_images=args.max_images,
        cache_bytes=args.cache_megabytes * MEBIBYTE,
        served=served,
    )


def _editor(args: ServeArgs, served: ServedModel) -> Any:
    """Return the deployment of one model."""
    return serve.deployment(
        name="Editor",
        user_config=model_source(args, served).model_dump(mode="json"),
        ray_actor_options={"num_cpus": args.cpus_per_replica, "num_gpus": args.gpus_per_replica},
        autoscaling_config={
            "min_replicas": args.min_replicas,
            "max_replicas": args.max_replicas,
            "target_ongoing_requests": args.target_ongoing_requests,
            "upscale_delay_s": args.upscale_seconds,
            "downscale_delay_s": args.downscale_seconds,
        },
        max_ongoing_requests=args.max_ongoing_requests,
        max_queued_requests=args.max_queued_requests,
        health_check_timeout_s=HEALTH_SECONDS,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
    )(EditorDeployment)


def describe_models(args: ServeArgs, version: str = "") -> list[ServedModel]:
    """Describe the versions that the addresses mean now, the first model first; a version replaces its alias' own."""
    name, separator, alias = args.model_uri.partition("@")
    first = f"{name}/{version}" if version and separator else args.model_uri
    return [
        describe_model(args, first, alias),
        *(describe_model(args, uri, other) for other, uri in args.others.items()),
    ]


def describe_model(args: ServeArgs, model_uri: str, alias: str = "") -> ServedModel:
    """Resolve a model's address and read the description of the version, but not its weights."""
    model = resolve_model(args.tracking_uri, model_uri)
    meta = read_registered_meta(args.tracking_uri, model.uri)
    values = read_registered_values(args.tracking_uri, model.uri)
    return describe(args, model, meta, values, alias or model_uri.replace("@", "/").rpartition("/")[2])


def describe(
    args: ServeArgs, model: RegisteredModel, meta: CheckpointMeta, values: ValueCodes, alias: str
) -> ServedModel:
    """Return the description of a version for the service; requests ask for it by the alias."""
    num_timesteps = meta.config.diffusion.num_timesteps
    samplers: tuple[SamplerName, ...] = get_args(SamplerName)
    return ServedModel(
        alias=alias,
        name=model.name,
        version=model.version,
        stage=meta.stage,
        samples_seen=meta.samples_seen,
        image_size=meta.config.model.image_size,
        framing=meta.config.data.framing,
        num_timesteps=num_timesteps,
        default_steps=min(meta.config.sampling.steps, step_count_from(num_timesteps, args.steps)),
        attributes=meta.attributes,
        samplers=(args.sampler, *(name for name in samplers if name != args.sampler)),
        centroid_values=known_values(meta.attributes, values),
    )
