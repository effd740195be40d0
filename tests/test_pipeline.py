"""Where a pipeline keeps its things, and what one that is based on another shares with it."""

from pathlib import Path

from diffusegae.pipeline import Layout
from tests.tiny import smoke_config


def test_a_pipeline_has_all_below_its_name(tmp_path: Path) -> None:
    layout = Layout.of(smoke_config(f"storage={tmp_path}", "name=mine"))
    for address in (layout.images, layout.latents, layout.tuning, layout.evaluation, layout.stages("pretrain")):
        assert address.startswith(f"{tmp_path}/mine/")
    assert layout.stages("refine") == layout.stages("pretrain") == f"{tmp_path}/mine/stages"


def test_one_based_on_another_shares_its_images_stage_1_and_latents(tmp_path: Path) -> None:
    own = Layout.of(smoke_config(f"storage={tmp_path}", "name=mine"))
    tuned = Layout.of(smoke_config(f"storage={tmp_path}", "name=mine-tuned", "base=mine"))
    assert (tuned.images, tuned.latents, tuned.stages("pretrain")) == (own.images, own.latents, own.stages("pretrain"))
    for address in (tuned.stages("refine"), tuned.stages("finetune"), tuned.evaluation, tuned.tuning):
        assert address.startswith(f"{tmp_path}/mine-tuned/")
