"""The ablations: what of the recipe is changed, and what each change answers; plain data and the configs it makes.

The paper's recipe is the config's defaults. A switch is a setting of the networks, the diffusion or the losses that is
no size and no matter of how long and how fast a stage trains; every switch that a config turns away from the paper's
has a variant here, and the comparison's row `paper` turns all of them back at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from diffusegae.config.load import validate_config
from diffusegae.config.model import DiffusionConfig, ModelConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import FinetuneConfig, PretrainConfig, RefineConfig, StageConfig
from diffusegae.training.launch import stage_fingerprint

Changes = Mapping[str, Any]  # dotted setting → its value
JUDGED: Literal["finetune"] = "finetune"

# What decides sizes and time, or what may go on: never switched back to the paper's.
SIZES = frozenset({
    "model.image_size", "model.pixel_unshuffle", "model.z_sem_width", "model.z_dis_width",
    *(f"model.encoder.{name}" for name in ("stem_width", "widths", "blocks", "attentions", "bottleneck", "head_width",
                                           "window")),
    *(f"model.unet.{name}" for name in ("base_width", "multipliers", "num_res_blocks", "attention_resolutions",
                                        "head_width", "embedding_width")),
    "model.gae.widths", "model.gae.num_bottlenecks", "model.gae.rank", "diffusion.num_timesteps", "pretrain.min_told",
    *(f"{stage}.{name}" for stage in ("pretrain", "refine", "finetune") for name in StageConfig.model_fields),
})  # fmt: skip
PAPER: Mapping[str, BaseModel] = {
    "model": ModelConfig(),
    "diffusion": DiffusionConfig(),
    "pretrain": PretrainConfig(),
    "refine": RefineConfig(),
    "finetune": FinetuneConfig(),
}
# (question, key, name, settings that are turned back to the paper's together)
SWITCHES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("The code", "no-rounding", "no rounding of z_dis", ("model.gae.quantise_step",)),
    ("The code", "no-part-norm", "parts not normalised", ("model.gae.normalise_parts",)),
    ("The GAE", "no-linear-paths", "no linear paths", ("model.gae.linear_paths",)),
    ("The GAE", "mlp-decoder", "decoder of blocks, as the paper has it", ("model.gae.decoder",)),
    ("The GAE", "group-norm", "group norm", ("model.gae.norm",)),
    ("The GAE", "last-skip", "last block as the paper has it", ("model.gae.last_skip",)),
    (
        "The UNet",
        "no-z-only",
        "no branch that draws from z alone",
        ("model.unet.canvas", "pretrain.lambda_canvas", "finetune.lambda_canvas"),
    ),
    ("The UNet", "no-positions", "no position maps", ("model.unet.positions",)),
    ("The UNet", "no-gain", "no gain on z", ("model.unet.z_gain",)),
    ("The UNet", "z-shift", "AdaGN shifts by z, too", ("model.unet.z_shift",)),
    ("The UNet", "prediction", "predicts eps", ("diffusion.prediction",)),
    ("The encoder", "mean-pooling", "mean over pixels", ("model.encoder.pooling",)),
    ("The encoder", "alter-resnet", "Alter-ResNet", ("model.encoder.architecture",)),
    ("Dropout", "dropout", "dropout as the paper has it", ("model.unet.dropout", "model.gae.dropout")),
    (
        "Weights of the losses",
        "paper-weights",
        "λ_ss and λ_ur as the paper has them",
        ("refine.lambda_ss", "refine.lambda_ur", "finetune.lambda_ss", "finetune.lambda_ur", "finetune.gamma"),
    ),
    ("Weights of the losses", "no-agreement", "λ_agree = 0", ("refine.lambda_agree", "finetune.lambda_agree")),
    ("Weights of the losses", "no-bend", "λ_bend = 0", ("refine.lambda_bend", "finetune.lambda_bend")),
    ("What is recombined", "group-donors", "donors of the same GROUP", ("refine.donors", "finetune.donors")),
    (
        "GROUPs",
        "exact-partners",
        "partners of Definition 1",
        tuple(f"{stage}.{name}" for stage in ("refine", "finetune") for name in ("partners", "shared", "balance")),
    ),
    ("Latents", "z-scored", "latents z-scored alone", ("refine.whitening_power",)),
    ("Stage 3", "same-rates", "all parts at the same rate", ("finetune.rate_factors",)),
    ("Stage 3", "condition", "the UNet sees reconstructed z", ("finetune.condition",)),
    ("Stage 3", "train-all", "all parts train, the target as the paper has it",
     ("finetune.train", "finetune.detach_target")),
    ("The schedule", "betas", "the paper's betas", ("diffusion.beta_start", "diffusion.beta_end")),
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One change of the config, trained to the end of `judged` and measured there."""

    key: str  # in folders
    name: str  # in the report
    changes: Changes = field(default_factory=dict)
    judged: Literal["pretrain", "refine", "finetune"] = JUDGED


@dataclass(frozen=True)
class Ablation:
    """A question, and the variants that answer it beside the config itself after stage 3."""

    question: str
    variants: tuple[Variant, ...]


def plan_ablations(config: PipelineConfig) -> list[Ablation]:
    """Return the ablations of a config; every variant differs from it in one thing."""
    asked: dict[str, list[Variant]] = {}
    for question, variant in (*_switched_back(config), *_varied(config)):
        asked.setdefault(question, []).append(variant)
    return [Ablation(question, tuple(variants)) for question, variants in asked.items()]


def switched_on(config: PipelineConfig) -> dict[str, Any]:
    """Return every switch that a config has otherwise than the paper, with the paper's value."""
    found: dict[str, Any] = {}
    for section, default in PAPER.items():
        mine, paper = (dict(_settings(section, each)) for each in (getattr(config, section), default))
        found |= {key: value for key, value in paper.items() if key not in SIZES and mine[key] != value}
    return found


def paper_changes(config: PipelineConfig) -> dict[str, Any]:
    """Return the changes that make a config the paper's recipe at its own sizes, in its own time.

    Rates, betas, averages, warm-up and decay stay the config's: they belong to how long it trains.
    """
    return {**switched_on(config), **_parts(config, _paper_widths(config))}


def changed(config: PipelineConfig, changes: Changes, name: str) -> PipelineConfig:
    """Return a config with settings changed, under a name of its own.

    It shares the images, and stage 1 with the latents just where its own stage 1 would be the same.
    """
    content = config.model_dump(mode="json")
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = content
        for parent in parents:
            node = node[parent]
        node[last] = value
    content |= {"name": name, "images": config.image_set, "base": ""}
    other = validate_config(content, name)
    same = stage_fingerprint(other, "pretrain", "") == stage_fingerprint(config, "pretrain", "")
    return other.model_copy(update={"base": config.base or config.name}) if same else other


def config_of(variant: Variant, config: PipelineConfig) -> PipelineConfig:
    """Return the config of a variant, named after the one that it varies."""
    return changed(config, variant.changes, f"{config.name}-{variant.key}")


def _settings(prefix: str, settings: BaseModel) -> Iterator[tuple[str, Any]]:
    for name, value in settings:
        key = f"{prefix}.{name}"
        if isinstance(value, BaseModel):
            yield from _settings(key, value)
        else:
            yield key, value


def _switched_back(config: PipelineConfig) -> Iterator[tuple[str, Variant]]:
    """Yield a variant for each switch that the config turns on."""
    on = switched_on(config)
    for question, key, name, settings in SWITCHES:
        if changes := {setting: on[setting] for setting in settings if setting in on}:
            yield question, Variant(key, name, changes)


def _varied(config: PipelineConfig) -> Iterator[tuple[str, Variant]]:
    """Yield what is asked of every config, switched on or not."""
    gae, unet, encoder = config.model.gae, config.model.unet, config.model.encoder
    for name, key in (("swap", "ss"), ("cycle", "ur")):
        if getattr(config.refine, f"lambda_{key}") > 0:
            changes = {f"{stage}.lambda_{key}": 0.0 for stage in ("refine", "finetune")}
            yield "Weights of the losses", Variant(f"no-{name}", f"λ_{key} = 0", changes)
    if gae.last_skip:
        yield "The GAE", Variant("no-last-skip", "last block without a skip", {"model.gae.last_skip": False})
    if encoder.architecture != "half_unet":
        yield "The encoder", Variant("half-unet", "half-UNet", {"model.encoder.architecture": "half_unet"})
    if unet.z_shift:
        yield "The UNet", Variant("no-z-shift", "AdaGN shifts not by z", {"model.unet.z_shift": False})
    if len(config.data.attributes) > 2 and config.refine.shared == 1:
        yield "GROUPs", Variant("group-2", "GROUP(C, 2)", {"refine.shared": 2})
    if config.refine.partners != "sharing":
        yield "GROUPs", Variant("random-pairs", "random pairs", {"refine.partners": "sharing"})
    own = {name: spec.width for name, spec in config.data.attributes.items()}
    if (paper := _paper_widths(config)) != own:
        parts = ":".join(map(str, paper.values()))
        yield "Widths of the parts", Variant("paper-widths", f"{parts}, as the paper", _parts(config, paper))
    for factor in (0.5, 2.0):
        widths = {name: max(1, round(width * factor)) for name, width in own.items()}
        total = sum(widths.values())
        yield "Widths of the parts", Variant(f"width-{total}", f"z_dis of {total}", _parts(config, widths))
    yield "The stages", Variant("stage-1", "stage 1 alone, its z_sem", judged="pretrain")
    yield "The stages", Variant("stage-2", "without stage 3", judged="refine")
    yield "The stages", _end_to_end(config)


def _paper_widths(config: PipelineConfig) -> dict[str, int]:
    """Return the widths of the parts at the config's sum, the first thrice as wide as each other (60:20:20)."""
    first, *others = config.data.attributes
    total = config.model.z_dis_width
    each = max(1, round(total / (3 + len(others))))
    return {first: total - each * len(others), **dict.fromkeys(others, each)}


def _parts(config: PipelineConfig, widths: Mapping[str, int]) -> dict[str, Any]:
    """Return the changes that give the parts such widths, where they have others."""
    attributes = config.data.attributes
    changes: dict[str, Any] = {
        f"data.attributes.{name}.width": width for name, width in widths.items() if attributes[name].width != width
    }
    total = sum(widths.values())
    return changes if total == config.model.z_dis_width else {**changes, "model.z_dis_width": total}


def _end_to_end(config: PipelineConfig) -> Variant:
    """Stage 3 from random weights, on as many images as stages 1 and 3 see; stages 1 and 2 are a single step each."""
    first, second, third = config.pretrain, config.refine, config.finetune
    members = 1 + len(config.data.attributes)
    groups = first.num_samples // members + third.num_samples
    changes = {
        "pretrain.num_samples": first.batch_size,
        "refine.num_samples": second.batch_size,
        "finetune.num_samples": groups,
        "finetune.learning_rate": first.learning_rate,
        "finetune.ema_decay": first.ema_decay,
        "finetune.rate_factors": {},
    }
    return Variant("end-to-end", "stage 3 alone, from random weights", changes)
