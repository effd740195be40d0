"""Which trainings a comparison consists of, what they share, and what each has seen."""

from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.comparison.ablations import switched_on
from diffusegae.comparison.candidates import (
    ROWS,
    Candidate,
    config_of_seed,
    plan_candidates,
    plan_variants,
    references,
    row_config,
)
from diffusegae.config.compare import METHODS
from diffusegae.config.load import load_config
from diffusegae.config.training import StageConfig
from diffusegae.layout import Layout
from diffusegae.training.launch import StageDone, stage_fingerprint
from tests.tiny import PRESETS, smoke_config

SWITCHED = ("model.gae.quantise_step=1.0", "refine.lambda_agree=10", "model.unet.canvas=true")


def test_every_row_runs_with_every_seed_under_a_key_of_its_own() -> None:
    candidates = plan_candidates(smoke_config(), 3)
    assert len(candidates) == len({c.key for c in candidates}) == 3 * 11
    assert {c.config.seed for c in candidates} == {0, 1, 2}
    assert tuple(ROWS) == METHODS == tuple(c.row for c in candidates[:11])
    assert [c.title for c in candidates[:11]] == [row.title for row in ROWS.values()]


def test_a_row_that_changes_nothing_is_the_pipeline_itself_and_others_have_a_name_of_their_own() -> None:
    config = smoke_config("name=mine", *SWITCHED)
    names = {c.row: c.config.name for c in plan_candidates(config, 1)}
    own = {"paper", "gzsnet_ours", "ae_ds_ours"}
    assert {row: name for row, name in names.items() if name != "mine"} == {row: f"mine-{row}" for row in own}
    for row in own:
        assert Layout.of(row_config(row, config)).images == Layout.of(config).images  # type: ignore[arg-type]
    bare = smoke_config("name=mine", "model.gae.quantise_step=0", "refine.lambda_agree=0")
    assert row_config("gzsnet_ours", bare) == bare


def test_our_losses_are_added_with_our_rounding_and_half_the_weight_that_latents_have() -> None:
    rows = {c.row: c.config.baselines for c in plan_candidates(smoke_config(*SWITCHED), 1)}
    for plain, row in (("gzsnet", "gzsnet_ours"), ("ae_ds", "ae_ds_ours")):
        before, after = getattr(rows[plain], plain), getattr(rows[row], plain)
        assert (before.quantise_step, before.lambda_agree) == (0, 0)
        assert after == before.model_copy(update={"quantise_step": 1.0, "lambda_agree": 5.0})


@pytest.mark.parametrize("preset", ["smoke", "mini", "quick", "vehicles64", "fast64"])
def test_the_papers_recipe_has_every_switch_off_at_the_configs_sizes_and_times(preset: str) -> None:
    config = load_config(preset, (), PRESETS)
    paper = row_config("paper", config)
    assert switched_on(config)
    assert not switched_on(paper)
    first, *others = [spec.width for spec in paper.data.attributes.values()]
    total = config.model.z_dis_width
    assert first + sum(others) == total
    assert others == [round(total / 5)] * 2
    for stage in ("pretrain", "refine", "finetune"):
        mine, theirs = config.settings_of(stage), paper.settings_of(stage)
        assert all(getattr(mine, name) == getattr(theirs, name) for name in StageConfig.model_fields)
    assert paper.model.unet.multipliers == config.model.unet.multipliers
    assert paper.model.gae.widths == config.model.gae.widths
    same = stage_fingerprint(paper, "pretrain", "") == stage_fingerprint(config, "pretrain", "")
    assert paper.base == (config.name if same else "")


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
        {c.row: c.key for c in plan_candidates(smoke_config(f"compare.budget={budget}"), 1)}
        for budget in ("time", "images")
    )
    assert {row for row in timed if timed[row] == counted[row]} == {"diffusegae", "paper"}


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
    candidates = {c.row: c for c in plan_candidates(config, 1)}
    ours = candidates["diffusegae"].num_images()
    for row, candidate in candidates.items():
        members = 4 if candidate.method == "gzsnet" else 1
        wanted = 2 * ours if row == "pdae" else ours
        slack = len(candidate.stages) * members * candidate.config.settings_of(candidate.judged).batch_size
        assert wanted - slack <= candidate.num_images() <= wanted
    assert candidates["ddim"].config.name == candidates["pdae"].config.name != config.name


def test_ablations_are_held_against_the_comparisons_own_row() -> None:
    config = smoke_config()
    rows = [c for c in plan_candidates(config, 2) if c.row == "diffusegae"]
    assert references(config, 2) == rows
    (_, firsts), (_, seconds), _ = plan_variants(config, 2)["The stages"]
    assert [c.stages for c in firsts] == [("pretrain",)] * 2
    assert [c.stages for c in seconds] == [("pretrain", "refine")] * 2
    assert [c.config.name for c in firsts] == [c.config.name for c in rows]


def test_only_what_needs_no_training_of_its_own_is_measured_of_every_seed() -> None:
    planned = plan_variants(smoke_config(), 3)
    seeds = {v.key: [c.config.seed for c in cs] for pairs in planned.values() for v, cs in pairs}
    assert seeds.pop("stage-1") == seeds.pop("stage-2") == [0, 1, 2]
    assert set(map(tuple, seeds.values())) == {(0,)}
    keys = [c.key for pairs in planned.values() for _, cs in pairs for c in cs]
    assert len(set(keys)) == len(keys)


def test_variants_are_measured_as_the_config_is_so_that_they_can_be_paired() -> None:
    config = smoke_config("compare.path_steps=[50,20,100]")
    for pairs in plan_variants(config, 1).values():
        for _, candidates in pairs:
            assert all(candidate.config.compare == config.compare for candidate in candidates)
            assert all(candidate.config.evaluate == config.evaluate for candidate in candidates)


def test_end_to_end_sees_as_many_images_as_the_road_in_three_stages() -> None:
    config = smoke_config()
    *_, (_, (candidate,)) = plan_variants(config, 1)["The stages"]
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
