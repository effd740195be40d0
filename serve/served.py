"""The model versions that a service serves, as its rooms know them."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from diffusegae.diffusion.samplers import SamplerName
from diffusegae.images import Framing
from diffusegae.schema import AttributeSchema
from serve.problems import Problem, shown


class ServedModel(BaseModel):
    """The description of a served model version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias: str  # the name by which requests ask for it
    name: str
    version: str
    stage: str
    samples_seen: int
    image_size: int
    framing: Framing = Framing()  # of what it was trained on, and so of what is sent to it
    num_timesteps: int
    default_steps: int
    attributes: AttributeSchema
    samplers: tuple[SamplerName, ...] = ("ddim", "dpm++")  # the first is meant if none is named
    centroid_values: dict[str, tuple[str, ...]] = {}  # values that can be asked for by name, of each attribute

    @property
    def label(self) -> str:
        """Name and version as answers carry them."""
        return f"{self.name}/{self.version}"


class ServedModels(BaseModel):
    """The served models, the first one first: the `user_config` of the ingress."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[ServedModel, ...]


def find_model(models: Sequence[ServedModel], name: str | None) -> ServedModel:
    """Return the model of an alias, the first without one; Problem 404 lists the aliases, 503 if there are none."""
    if not models:
        raise Problem(503, "Model not available", "no model is loaded yet; try again", {"Retry-After": "5"})
    if name is None:
        return models[0]
    for model in models:
        if model.alias == name:
            return model
    known = ", ".join(model.alias for model in models)
    raise Problem(404, "Unknown model", f"model={shown(name)}; the models are: {known}")
