"""The candidates of a comparison: each trained and measured once, one per method and seed and one per ablation."""

import hashlib
from dataclasses import dataclass
from math import comb

from diffusegae.comparison.ablations import Variant, config_of, plan_ablations
from diffusegae.config.baselines import BaselinesConfig
from diffusegae.config.compare import OURS, MethodName
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import StageConfig
from diffusegae.pipeline import STAGE_BEFORE, Layout
from diffusegae.training.launch import StageDone, read_done, stage_fingerprint
from diffusegae.training.stages import StageName, shared_of

MEASURES = 2  # raised when what is measured changes, so that it is measured again
EQUAL_IMAGES = "-equal-images"  # marks what was trained by the budget of images
STAGES_OF_OURS: tuple[StageName, ...] = ("pretrain", "refine", "finetune")


@dataclass(frozen=True)
class Candidate:
    """One training and its measures; `judged` is the stage whose checkpoint is measured."""

    key: str  # in files and logs
    method: MethodName
    config: PipelineConfig
    judged: StageName

    @property
    def stages(self) -> tuple[StageName, ...]:
        """All stages that lead to what is judged, in order."""
        if self.method == OURS:
            return STAGES_OF_OURS[: STAGES_OF_OURS.index(self.judged) + 1]
        before = STAGE_BEFORE.get(self.judged)
        return (before, self.judged) if before else (self.judged,)

    def finished(self) -> dict[StageName, StageDone | None]:
        """Return what is known of its stages; None of one that is not finished, or was by another config."""
        layout, found, before = Layout.of(self.config), dict[StageName, StageDone | None](), ""
        for stage in self.stages:
            done, before = read_done(layout.stages(stage), stage), stage_fingerprint(self.config, stage, before)
            found[stage] = done if done is not None and done.fingerprint == before else None
        return found

    def num_images(self) -> int:
        """Return how many images have passed its networks; stage 2 works on latents and adds none."""
        return sum(self._images_of(stage) for stage in self.stages if stage != "refine")

    def fingerprint(self, checkpoint: str) -> str:
        """Return a hash of all that decides its measures."""
        config = self.config
        compared = config.compare.model_dump(mode="json", exclude={"methods", "concurrent", "budget"})
        parts = [MEASURES, checkpoint, compared, config.sampling, config.evaluate, config.seed]
        return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]

    def _images_of(self, stage: StageName) -> int:
        return self.config.settings_of(stage).num_samples * _members(self.config, stage)


def config_of_seed(config: PipelineConfig, number: int) -> PipelineConfig:
    """Return the config of the seed of a number; the first is the config itself, the others share its images."""
    if number == 0:
        return config
    own = {"name": f"{config.name}-seed{number}", "base": "", "seed": config.seed + number}
    return config.model_copy(update={**own, "images": config.image_set})


def plan_candidates(config: PipelineConfig, num_seeds: int) -> list[Candidate]:
    """Return every method with every seed, seed by seed; each budget has keys of its own, so both can be kept."""
    return [
        Candidate(f"{method}-{number}{mark}", method, budgeted, _judged(method))
        for number in range(num_seeds)
        for method in config.compare.methods
        for budgeted, mark in [_budgeted(config_of_seed(config, number), method)]
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
    """Return ours as the config has it after stage 2, with every seed: what ablations are held against."""
    return _of_every_seed("ablation-none", config, "refine", num_seeds)


def _seeds_of(variant: Variant, config: PipelineConfig, num_seeds: int) -> list[Candidate]:
    key = f"ablation-{variant.key}"
    if not variant.changes:
        return _of_every_seed(key, config, variant.judged, num_seeds)
    return [Candidate(f"{key}-0", OURS, _on_shortest_paths(config_of(variant, config)), variant.judged)]


def _of_every_seed(key: str, config: PipelineConfig, judged: StageName, num_seeds: int) -> list[Candidate]:
    return [
        Candidate(f"{key}-{number}", OURS, _on_shortest_paths(config_of_seed(config, number)), judged)
        for number in range(num_seeds)
    ]


def _on_shortest_paths(config: PipelineConfig) -> PipelineConfig:
    """Return the config with paths of the fewest steps alone, the others being what takes longest to measure."""
    fewest = min(config.compare.path_steps)
    changes = {"path_steps": (fewest,), "num_pairs": config.compare.pairs_at(fewest)}
    compare = config.compare.model_copy(update=changes)
    return config.model_copy(update={"compare": compare})


def _judged(method: MethodName) -> StageName:
    return "finetune" if method == OURS else method


def _members(config: PipelineConfig, stage: str) -> int:
    """Return how many images a sample of a stage consists of."""
    shared = shared_of(config.settings_of(stage))
    return 1 if shared is None else 1 + comb(len(config.data.attributes), shared)


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
    steps = max(1, images // (_members(config, baseline) * settings.batch_size))
    return settings.model_copy(update={"num_samples": steps * settings.batch_size})
