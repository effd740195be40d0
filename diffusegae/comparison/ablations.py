"""The ablations: what of the recipe is changed, and what each change answers; plain data and the configs it makes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diffusegae.config.load import validate_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import RefineConfig

Start = Literal["images", "stage 1"]  # what a variant shares with the config that it varies


@dataclass(frozen=True)
class Variant:
    """One change of the config, trained to the end of `judged` and measured there."""

    key: str  # in folders
    name: str  # in the report
    changes: Mapping[str, Any] = field(default_factory=dict)
    shares: Start = "stage 1"
    judged: Literal["pretrain", "refine", "finetune"] = "refine"


@dataclass(frozen=True)
class Ablation:
    """A question, and the variants that answer it beside the config itself after stage 2 (or 3)."""

    question: str
    variants: tuple[Variant, ...]


def plan_ablations(config: PipelineConfig) -> list[Ablation]:
    """Return the ablations of a config; every variant differs from it in one thing."""
    gae, refine = config.model.gae, config.refine
    pairs = len(config.data.attributes) > 2
    other = "eps" if config.diffusion.prediction == "v" else "v"
    return [
        Ablation(
            "Part normalisation",
            (
                Variant(
                    "part-norm",
                    _switch("on", not gae.normalise_parts),
                    {"model.gae.normalise_parts": not gae.normalise_parts},
                ),
            ),
        ),
        Ablation("The terms of L_dis", tuple(_terms(refine))),
        Ablation(
            "The stages",
            (
                Variant("stage-1", "stage 1 alone, its z_sem", judged="pretrain"),
                Variant("stage-3", "with stage 3", judged="finetune"),
            ),
        ),
        Ablation(
            "Encoder",
            (Variant("half-unet", "half-UNet encoder", {"model.encoder.architecture": "half_unet"}, "images"),),
        ),
        Ablation(
            "AdaGN's shift by z",
            (
                Variant(
                    "z-shift",
                    _switch("on", not config.model.unet.z_shift),
                    {"model.unet.z_shift": not config.model.unet.z_shift},
                    "images",
                ),
            ),
        ),
        Ablation(
            "What the UNet predicts",
            (Variant("prediction", other, {"diffusion.prediction": other}, "images"),),
        ),
        Ablation("Width of z_dis", tuple(_widths(config, factor) for factor in (0.5, 2.0))),
        Ablation(
            "GROUPs",
            (
                *([Variant("group-2", "GROUP(C, 2)", {"refine.shared": 2})] if pairs else []),
                Variant("random-pairs", "random pairs", {"refine.partners": "sharing"}),
            ),
        ),
        Ablation("Last block of the GAE", (Variant("no-last-skip", "without a skip", {"model.gae.last_skip": False}),)),
        Ablation("End to end from the start", (_end_to_end(config),)),
    ]


def config_of(variant: Variant, config: PipelineConfig) -> PipelineConfig:
    """Return the config of a variant, named after the one that it varies."""
    content = config.model_dump(mode="json")
    for key, value in variant.changes.items():
        *parents, last = key.split(".")
        node = content
        for parent in parents:
            node = node[parent]
        node[last] = value
    base = config.base or config.name
    content |= {"name": f"{config.name}-{variant.key}", "images": config.image_set}
    content["base"] = base if variant.shares == "stage 1" else ""
    return validate_config(content, f"ablation {variant.key}")


def _terms(refine: RefineConfig) -> Iterator[Variant]:
    """Yield stage 2 without each of its terms that has weight but L_r."""
    for key, name in (("swap", "ss"), ("cycle", "ur"), ("agreement", "agree"), ("bend", "bend")):
        if getattr(refine, f"lambda_{name}") > 0:
            yield Variant(f"no-{key}", f"λ_{name} = 0", {f"refine.lambda_{name}": 0.0})


def _switch(what: str, value: bool) -> str:
    return what if value else "off"


def _widths(config: PipelineConfig, factor: float) -> Variant:
    widths = {name: max(1, round(spec.width * factor)) for name, spec in config.data.attributes.items()}
    total = sum(widths.values())
    changes: dict[str, Any] = {f"data.attributes.{name}.width": width for name, width in widths.items()}
    return Variant(f"width-{total}", f"z_dis of {total}", {**changes, "model.z_dis_width": total})


def _end_to_end(config: PipelineConfig) -> Variant:
    """Stage 3 from random weights, on as many images as stages 1 and 3 see; stages 1 and 2 are a single step each."""
    first, second, third = config.pretrain, config.refine, config.finetune
    members = 1 + len(config.data.attributes)
    groups = first.num_samples // members + third.num_samples
    return Variant(
        "end-to-end",
        "stage 3 alone, from random weights",
        {
            "pretrain.num_samples": first.batch_size,
            "refine.num_samples": second.batch_size,
            "finetune.num_samples": groups,
            "finetune.learning_rate": first.learning_rate,
            "finetune.ema_decay": first.ema_decay,
            "finetune.rate_factors": {},
        },
        "images",
        "finetune",
    )
