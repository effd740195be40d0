"""The application builder that Ray Serve calls: `import_path: serve.app:build_app`, with `ServeArgs` as its args.

The model's alias is resolved here, once: every replica gets the same version, whatever happens to the alias meanwhile.
"""

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application

from diffusegae.checkpoint import CheckpointMeta
from diffusegae.tracking.registry import RegisteredModel, read_registered_meta, resolve_model

from .checks import Limits
from .deployments import EditorDeployment, IngressDeployment, ModelSource
from .messages import ServedModel

EDITOR_ONGOING, EDITOR_QUEUED = 4, 64  # beyond these a client is told to come back
INGRESS_ONGOING, INGRESS_CPUS = 200, 0.1
HEALTH_SECONDS = 30


class ServeArgs(BaseModel):
    """What is served, and with which resources."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking_uri: str = Field(description="MLflow server or database that holds the registered model.")
    model_uri: str = Field("models:/diffusegae@champion", description="Alias or version that is served.")
    device: str = Field("cpu", description="Torch device of the model.")
    cpus_per_replica: float = Field(1, ge=0, description="CPUs of a model replica.")
    gpus_per_replica: float = Field(0, ge=0, description="GPUs of a model replica.")
    min_replicas: int = Field(1, ge=1, description="Model replicas at rest.")
    max_replicas: int = Field(1, ge=1, description="Model replicas under load.")
    target_ongoing_requests: float = Field(2, gt=0, description="Requests per model replica that scaling aims at.")
    limits: Limits = Limits()


def build_app(args: ServeArgs) -> Application:
    """Return the application: ingress and editor, both set to the version that the model address means now.

    Raises:
        TrackingError: MLflow does not answer, or has no such model.
    """
    model = resolve_model(args.tracking_uri, args.model_uri)
    served = describe(model, read_registered_meta(args.tracking_uri, model.uri))
    source = ModelSource(tracking_uri=args.tracking_uri, device=args.device, served=served)
    editor = serve.deployment(
        name="Editor",
        user_config=source.model_dump(mode="json"),
        ray_actor_options={"num_cpus": args.cpus_per_replica, "num_gpus": args.gpus_per_replica},
        autoscaling_config={
            "min_replicas": args.min_replicas,
            "max_replicas": args.max_replicas,
            "target_ongoing_requests": args.target_ongoing_requests,
        },
        max_ongoing_requests=EDITOR_ONGOING,
        max_queued_requests=EDITOR_QUEUED,
        health_check_timeout_s=HEALTH_SECONDS,
    )(EditorDeployment)
    ingress = serve.deployment(
        name="Ingress",
        user_config=served.model_dump(mode="json"),
        ray_actor_options={"num_cpus": INGRESS_CPUS},
        max_ongoing_requests=INGRESS_ONGOING,
        health_check_timeout_s=HEALTH_SECONDS,
    )(IngressDeployment)
    return ingress.bind(editor.bind(), args.limits)


def describe(model: RegisteredModel, meta: CheckpointMeta) -> ServedModel:
    """Return what the service needs to know of a version."""
    return ServedModel(
        name=model.name,
        version=model.version,
        stage=meta.stage,
        samples_seen=meta.samples_seen,
        image_size=meta.config.model.image_size,
        num_timesteps=meta.config.diffusion.num_timesteps,
        default_steps=meta.config.sampling.steps,
        attributes=meta.attributes,
    )
