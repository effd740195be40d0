"""The candidates of a comparison: each trained and measured once, one per row and seed and one per ablation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diffusegae import storage
from diffusegae.comparison.ablations import Variant, changed, config_of, paper_changes, plan_ablations
from diffusegae.config.baselines import BaselinesConfig
from diffusegae.config.compare import OURS, MethodName, RowName
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import StageConfig
from diffusegae.data.shards import has_manifest, read_manifest
from diffusegae.evaluation.pieces import Assignment, assign
from diffusegae.layout import Layout
from diffusegae.pipeline import STAGE_BEFORE, STAGES
from diffusegae.training.launch import StageDone, accepted_fingerprints, read_done
from diffusegae.training.stages import StageName, images_of, members_of

EQUAL_IMAGES = "-equal-images"  # marks what was trained by the budget of images
PIXELS = 0.5  # how far pixels in [-1, 1] lie from their mean (L1) over how far z-scored latents do: .47 for vehicles


def _nothing(config: PipelineConfig) -> dict[str, Any]:
    return {}


def _ours_in(name: str) -> Callable[[PipelineConfig], dict[str, Any]]:
    """Return the changes that give a pixel auto-encoder our rounding and agreement, weighed as against our L_dis."""

    def changes(config: PipelineConfig) -> dict[str, Any]:
        return {
            f"baselines.{name}.quantise_step": config.model.gae.quantise_step,
            f"baselines.{name}.lambda_agree": PIXELS * config.refine.lambda_agree,
        }

    return changes


@dataclass(frozen=True)
class Row:
    """A row of the comparison: a method, and what its config changes; without changes it is the pipeline's own."""

    title: str
    method: MethodName
    changes: Callable[[PipelineConfig], Mapping[str, Any]] = _nothing


ROWS: Mapping[RowName, Row] = {
    "diffusegae": Row("DiffuseGAE (ours)", OURS),
    "paper": Row("The paper's recipe", OURS, paper_changes),
    "diffae": Row("Diff-AE", "diffae"),
    "pdae": Row("PDAE", "pdae"),
    "gzsnet": Row("GZS-Net", "gzsnet"),
    "gzsnet_ours": Row("GZS-Net + our agreement and rounding", "gzsnet", _ours_in("gzsnet")),
    "ae_ds": Row("AE+DS", "ae_ds"),
    "ae_ds_ours": Row("AE+DS + our agreement and rounding", "ae_ds", _ours_in("ae_ds")),
    "ddim": Row("DDIM", "ddim"),
    "stargan": Row("StarGAN", "stargan"),
    "elegant": Row("ELEGANT", "elegant"),
}


@dataclass(frozen=True)
class Candidate:
    """One training and its measures; `judged` is the stage whose checkpoint is measured."""

    key: str  # in files and logs
    method: MethodName
    config: PipelineConfig
    judged: StageName
    row: str = ""  # the row's name, or the ablation's variant
    title: str = ""  # in the report

    @property
    def stages(self) -> tuple[StageName, ...]:
        """All stages that lead to what is judged, in order."""
        if self.method == OURS:
            return STAGES[: STAGES.index(self.judged) + 1]
        before = STAGE_BEFORE.get(self.judged)
        return (before, self.judged) if before else (self.judged,)

    def finished(self) -> dict[StageName, StageDone | None]:
        """Return what is known of its stages; None of one that is not finished, or was by another config."""
        layout, found, before = Layout.of(self.config), dict[StageName, StageDone | None](), ""
        images = read_manifest(layout.images).content if has_manifest(layout.images) else ""
        for stage in self.stages:
            done = read_done(layout.stages(stage), stage)
            accepted = accepted_fingerprints(self.config, stage, before, images)
            found[stage] = done if done is not None and done.fingerprint in accepted else None
            before = done.fingerprint if found[stage] and done else accepted[0]
        return found

    def num_images(self) -> int:
        """Return how many images have passed its networks; stage 2 works on latents and adds none."""
        return images_of(self.config, self.stages)

    def assignment(self, folder: str, done: StageDone) -> Assignment:
        """Return how it is measured, with pieces in a folder of its own."""
        config, images = self.config, Layout.of(self.config).images
        edits_codes = self.method in ("diffae", "pdae") or self.judged == "pretrain"
        return assign(
            config, images, storage.join(folder, self.key), self.method, done.checkpoint, done.fingerprint,
            edits_codes=edits_codes, compared=True,
        )  # fmt: skip


def config_of_seed(config: PipelineConfig, number: int) -> PipelineConfig:
    """Return the config of the seed of a number; the first is the config itself, the others share its images."""
    if number == 0:
        return config
    own = {"name": f"{config.name}-seed{number}", "base": "", "seed": config.seed + number}
    return config.model_copy(update={**own, "images": config.image_set})


def plan_candidates(config: PipelineConfig, num_seeds: int) -> list[Candidate]:
    """Return every row with every seed, seed by seed; each budget has keys of its own, so both can be kept."""
    return [
        _candidate(name, config_of_seed(config, number), number)
        for number in range(num_seeds)
        for name in config.compare.methods
    ]


def plan_variants(config: PipelineConfig, num_seeds: int) -> dict[str, list[tuple[Variant, list[Candidate]]]]:
    """Return the candidates of each ablation's variants by its question.

    A variant that changes something is trained with the first seed alone; what needs no training of its own is measured
    of every seed.
    """
    return {
        ablation.question: [(variant, _seeds_of(variant, config, num_seeds)) for variant in ablation.variants]
        for ablation in plan_ablations(config)
    }


def references(config: PipelineConfig, num_seeds: int) -> list[Candidate]:
    """Return ours as the config has it, with every seed: what ablations are held against; rows of the comparison."""
    return [_candidate(OURS, config_of_seed(config, number), number) for number in range(num_seeds)]


def row_config(name: RowName, config: PipelineConfig) -> PipelineConfig:
    """Return the config of a row: the one given, or one of its own name where the row changes something."""
    own = changed(config, ROWS[name].changes(config), f"{config.name}-{name}")
    named = {"name": config.name, "base": config.base, "images": config.images}
    return config if own.model_copy(update=named) == config else own


def _candidate(name: RowName, config: PipelineConfig, number: int) -> Candidate:
    row = ROWS[name]
    budgeted, mark = _budgeted(row_config(name, config), row.method)
    return Candidate(f"{name}-{number}{mark}", row.method, budgeted, _judged(row.method), name, row.title)


def _seeds_of(variant: Variant, config: PipelineConfig, num_seeds: int) -> list[Candidate]:
    """Return a variant's candidates: of the first seed, or of all where nothing is to be trained for it."""
    return [
        Candidate(
            f"ablation-{variant.key}-{number}",
            OURS,
            config_of(variant, config) if variant.changes else config_of_seed(config, number),
            variant.judged,
            variant.key,
            variant.name,
        )
        for number in range(1 if variant.changes else num_seeds)
    ]


def _judged(method: MethodName) -> StageName:
    return "finetune" if method == OURS else method


def _budgeted(config: PipelineConfig, method: MethodName) -> tuple[PipelineConfig, str]:
    """Return the config in which every baseline trains on as many images as ours, if that is the budget; its mark."""
    if method == OURS or config.compare.budget == "time":
        return config, ""
    images = Candidate("", OURS, config, "finetune").num_images()
    trained = {name: _on_images(config, name, images) for name in BaselinesConfig.model_fields}
    changes = {
        "name": f"{config.name}{EQUAL_IMAGES}",
        "base": "",
        "images": config.image_set,
        "baselines": config.baselines.model_copy(update=trained),
    }
    return config.model_copy(update=changes), EQUAL_IMAGES


def _on_images(config: PipelineConfig, baseline: str, images: int) -> StageConfig:
    settings = config.settings_of(baseline)
    steps = max(1, images // (members_of(config, baseline) * settings.batch_size))
    return settings.model_copy(update={"num_samples": steps * settings.batch_size})
