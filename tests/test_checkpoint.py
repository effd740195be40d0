"""Checkpoints: whole or nothing, one reader, the schema guards them."""

from pathlib import Path

import pytest
import torch

from diffusegae.checkpoint import CheckpointError, flatten_optimizer, read_meta, read_tensors, restore_optimizer
from diffusegae.editing.loading import load_editor
from diffusegae.schema import SchemaError
from tests.tiny import random_images, save_tiny_checkpoint, smoke_config, tiny_schema


def test_round_trip_gives_the_same_model(tmp_path: Path) -> None:
    schema = tiny_schema(8, 8, 8)
    model = save_tiny_checkpoint(tmp_path, smoke_config(), schema)
    editor = load_editor(tmp_path, expected=schema)
    images = random_images(2)
    torch.testing.assert_close(editor.encode(images), model.disentangle(model.encode(images)))
    assert read_meta(tmp_path).attributes == schema


def test_a_cut_off_write_is_not_a_checkpoint(tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path, smoke_config(), tiny_schema(8, 8, 8))
    (tmp_path / "meta.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no meta.json: not a checkpoint, or one whose writing was cut off"):
        read_meta(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"form', "is damaged"), ('{"format": 99}', "has format 99"), ('{"format": 2}', "does not fit this version")],
)
def test_a_damaged_meta_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_meta(tmp_path)


def test_missing_tensors_list_what_is_there(tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path, smoke_config(), tiny_schema(8, 8, 8))
    with pytest.raises(CheckpointError, match="holds no tensors 'optimizer'; it holds: ema, model"):
        read_tensors(tmp_path, "optimizer")


def test_a_checkpoint_of_another_schema_is_refused(tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path, smoke_config(), tiny_schema(8, 8, 8))
    with pytest.raises(SchemaError, match=r"was made for another schema: .*'a' has 4 values .* instead of 5"):
        load_editor(tmp_path, expected=tiny_schema(8, 8, 8, cardinality=5))
    with pytest.raises(SchemaError, match="part 'a' is 8 wide instead of 4"):
        load_editor(tmp_path, expected=tiny_schema(4, 10, 10))


def test_optimizer_state_round_trip() -> None:
    def make() -> tuple[torch.nn.Linear, torch.optim.Adam]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.Adam(layer.parameters(), lr=0.1)

    def step(layer: torch.nn.Linear, optimizer: torch.optim.Adam) -> None:
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    layer, optimizer = make()
    step(layer, optimizer)
    other, restored = make()
    other.load_state_dict(layer.state_dict())
    restore_optimizer(restored, flatten_optimizer(optimizer))
    step(layer, optimizer)
    step(other, restored)
    assert torch.equal(layer.weight, other.weight)


def test_restored_moments_lie_in_memory_as_their_weights() -> None:
    """A file keeps no strides, and a fused step on a GPU asks for those of the weights."""
    conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(conv.parameters(), lr=0.1)
    conv(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    saved = {key: value.contiguous() for key, value in flatten_optimizer(optimizer).items()}
    again = torch.optim.Adam(conv.parameters(), lr=0.1)
    restore_optimizer(again, saved)
    for name, moment in again.state[conv.weight].items():
        assert torch.equal(moment, optimizer.state[conv.weight][name])
        assert name == "step" or moment.stride() == conv.weight.stride()
