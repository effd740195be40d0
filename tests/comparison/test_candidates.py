"""Which trainings a comparison consists of, what they share, and what each has seen."""

from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.comparison.ablations import config_of, plan_ablations
from diffusegae.comparison.candidates import (
    Candidate,
    config_of_seed,
    plan_candidates,
    plan_variants,
    references,
)
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.pipeline import Layout
from diffusegae.training.launch import StageDone, stage_fingerprint
from tests.tiny import smoke_config


def test_every_method_runs_with_every_seed_under_a_key_of_its_own() -> None:
    candidates = plan_candidates(smoke_config(), 3)
    assert len(candidates) == len({c.key for c in candidates}) == 3 * 8
    assert {c.config.seed for c in candidates} == {0, 1, 2}


def test_the_first_seed_is_the_pipeline_itself_and_the_others_share_its_images_alone() -> None:
    config = smoke_config("name=mine")
    own, other = Layout.of(config_of_seed(config, 0)), Layout.of(config_of_seed(config, 2))
    assert own == Layout.of(config)
    assert other.images == own.images
    assert other.latents != own.latents
    assert other.stages("pretrain") != own.stages("pretrain")


def test_pdae_comes_after_the_dpm_that_it_takes_and_ours_has_three_stages() -> None:
    stages = {c.method: c.stages for c in plan_candidates(smoke_config(), 1)}
    assert stages["pdae"] == ("ddim", "pdae")
    assert stages["diffusegae"] == ("pretrain", "refine", "finetune")
    assert stages["gzsnet"] == ("gzsnet",)


def test_the_budgets_keep_their_findings_apart_and_share_ours() -> None:
    timed, counted = (
        {c.method: c.key for c in plan_candidates(smoke_config(f"compare.budget={budget}"), 1)}
        for budget in ("time", "images")
    )
    assert {method for method in timed if timed[method] == counted[method]} == {"diffusegae"}


def test_images_are_counted_where_pixels_pass_networks() -> None:
    config = smoke_config(
        "pretrain.num_samples=100", "refine.num_samples=900", "finetune.num_samples=16",
        "baselines.gzsnet.num_samples=64",
    )  # fmt: skip
    assert Candidate("", "diffusegae", config, "finetune").num_images() == 100 + 16 * 4
    assert Candidate("", "diffusegae", config, "refine").num_images() == 100
    assert Candidate("", "gzsnet", config, "gzsnet").num_images() == 64 * 4


def test_the_budget_of_images_gives_every_baseline_as_many_as_ours_within_a_batch() -> None:
    config = smoke_config("compare.budget=images", "pretrain.num_samples=4800", "baselines.gzsnet.batch_size=8")
    candidates = {c.method: c for c in plan_candidates(config, 1)}
    ours = candidates["diffusegae"].num_images()
    for method, candidate in candidates.items():
        members = 4 if method == "gzsnet" else 1
        wanted = ours * len([stage for stage in candidate.stages if stage != "refine"]) if method == "pdae" else ours
        slack = len(candidate.stages) * members * candidate.config.settings_of(candidate.judged).batch_size
        assert wanted - slack <= candidate.num_images() <= wanted
    assert candidates["ddim"].config.name == candidates["pdae"].config.name != config.name


def test_measures_are_taken_again_when_what_decides_them_changed() -> None:
    config = smoke_config()
    candidate = Candidate("", "gzsnet", config, "gzsnet")
    same = Candidate("", "gzsnet", smoke_config("compare.concurrent=3", "compare.methods=[gzsnet]"), "gzsnet")
    assert same.fingerprint("x") == candidate.fingerprint("x") != candidate.fingerprint("y")
    for change in ("compare.num_pairs=7", "evaluate.num_edits=9", "sampling.steps=5", "seed=1"):
        assert Candidate("", "gzsnet", smoke_config(change), "gzsnet").fingerprint("x") != candidate.fingerprint("x")


def variants(config: PipelineConfig) -> dict[str, PipelineConfig]:
    return {v.key: config_of(v, config) for ablation in plan_ablations(config) for v in ablation.variants if v.changes}


def test_every_variant_differs_from_the_config_and_from_the_others() -> None:
    config = smoke_config("refine.lambda_agree=1")
    plain = {"name", "base", "images"}
    dumps = [config.model_dump(exclude=plain), *(v.model_dump(exclude=plain) for v in variants(config).values())]
    assert all(dumps.count(dump) == 1 for dump in dumps)
    assert len({v.name for v in variants(config).values()} | {config.name}) == len(dumps)


def test_variants_share_stage_1_exactly_where_it_would_be_the_same() -> None:
    config = smoke_config("name=mine")
    mine = stage_fingerprint(config, "pretrain", "")
    for key, variant in variants(config).items():
        same = stage_fingerprint(variant, "pretrain", "") == mine
        assert (variant.base == "mine") == same, key
        assert Layout.of(variant).images == Layout.of(config).images


def test_widths_scale_with_their_sum() -> None:
    config = variants(smoke_config())["width-48"]
    assert [spec.width for spec in config.data.attributes.values()] == [16, 16, 16]
    assert config.model.z_dis_width == 48


def test_two_attributes_have_no_group_of_two_shared() -> None:
    schema = "data.attributes={identity: {column: category, width: 8}, pose: {width: 8}}"
    config = smoke_config(schema, "model.z_dis_width=16")
    assert "group-2" not in variants(config)
    assert "group-2" in variants(smoke_config())


def test_ablations_are_judged_after_stage_2_beside_the_config_itself() -> None:
    config = smoke_config()
    assert [c.judged for c in references(config, 2)] == ["refine", "refine"]
    (_, firsts), (_, wholes) = plan_variants(config, 2)["The stages"]
    assert [c.stages for c in firsts] == [("pretrain",)] * 2
    assert [c.judged for c in wholes] == ["finetune", "finetune"]
    assert wholes[0].config.model_copy(update={"compare": config.compare}) == config


def test_only_what_needs_no_training_of_its_own_is_measured_of_every_seed() -> None:
    config = smoke_config()
    trained = {
        (Layout.of(c.config).root, c.config.seed) for c in plan_candidates(config, 3) if c.method == "diffusegae"
    }
    assert {(Layout.of(c.config).root, c.config.seed) for c in references(config, 3)} == trained
    seeds = {v.key: [c.config.seed for c in cs] for pairs in plan_variants(config, 3).values() for v, cs in pairs}
    assert seeds.pop("stage-1") == seeds.pop("stage-3") == [0, 1, 2]
    assert set(map(tuple, seeds.values())) == {(0,)}


def test_ablations_measure_paths_at_the_fewest_steps_alone() -> None:
    config = smoke_config("compare.path_steps=[50,20,100]")
    varied = [c for pairs in plan_variants(config, 1).values() for _, candidates in pairs for c in candidates]
    for candidate in (*references(config, 1), *varied):
        assert candidate.config.compare.path_steps == (20,)
        assert candidate.config.compare.pairs_at(20) == config.compare.pairs_at(20)


def test_a_term_without_weight_is_not_ablated() -> None:
    assert variants(smoke_config()).keys() >= {"no-swap", "no-cycle"}
    assert "no-bend" not in variants(smoke_config())
    assert variants(smoke_config("refine.lambda_bend=1"))["no-bend"].refine.lambda_bend == 0


def test_end_to_end_sees_as_many_images_as_the_road_in_three_stages() -> None:
    config = smoke_config()
    ((_, (candidate,)),) = plan_variants(config, 1)["End to end from the start"]
    whole = Candidate("", "diffusegae", config, "finetune").num_images()
    assert candidate.num_images() == pytest.approx(whole, abs=4 + config.pretrain.batch_size)


def test_a_stage_that_another_config_finished_is_not_finished(tmp_path: Path) -> None:
    config = smoke_config(f"storage={tmp_path}")
    candidate = Candidate("", "pdae", config, "pdae")
    ddim = stage_fingerprint(config, "ddim", "")
    for stage, fingerprint in (("ddim", ddim), ("pdae", stage_fingerprint(config, "pdae", ddim))):
        done = StageDone(stage=stage, fingerprint=fingerprint, checkpoint="there", seconds=1.0)  # type: ignore[arg-type]
        path = f"{Layout.of(config).stages(stage)}/{stage}/done.json"  # type: ignore[arg-type]
        storage.write_bytes(path, done.model_dump_json().encode())
    assert None not in candidate.finished().values()
    changed = smoke_config(f"storage={tmp_path}", "baselines.ddim.learning_rate=1")
    assert set(Candidate("", "pdae", changed, "pdae").finished().values()) == {None}  # what came before changed, too
    other = smoke_config(f"storage={tmp_path}", "baselines.pdae.learning_rate=1")
    assert [done is None for done in Candidate("", "pdae", other, "pdae").finished().values()] == [False, True]
