"""What z_sem tells: codes that hold an attribute and codes that do not are told apart."""

from pathlib import Path

import pytest

from diffusegae.evaluation.told import Told, UntoldError, check_told, find_told, read_told
from diffusegae.schema import AttributeSchema
from tests.stored_latents import COLUMNS, sweep_config, write_latents

TUNE = sweep_config().tune


def test_sums_of_codes_tell_every_attribute(latents: str, schema: AttributeSchema) -> None:
    told = read_told(latents, schema, TUNE)
    assert [each.name for each in told] == ["vehicle", "ground", "pose"]
    assert min(each.linear for each in told) == 1.0
    check_told(told, 1.0)


def test_an_attribute_that_codes_leave_out_is_named(tmp_path: Path, schema: AttributeSchema) -> None:
    write_latents(str(tmp_path), COLUMNS, silent=("pose",))
    told = read_told(str(tmp_path), schema, TUNE)
    assert [each.share > 0.9 for each in told] == [True, True, False]
    with pytest.raises(UntoldError, match=r"take apart: pose 0\.\d\d .*at least 0\.5 .*pretrain\.min_told=0") as error:
        check_told(told, 0.5)
    assert "ground" not in str(error.value)
    check_told(told, 0.0)


def test_the_better_probe_counts_over_a_guess() -> None:
    assert Told("a", linear=0.5, mlp=0.97, guess=0.5).share == pytest.approx(0.94)
    assert Told("a", linear=0.3, mlp=0.2, guess=0.5).share == 0.0
    assert Told("a", linear=1.0, mlp=1.0, guess=1.0).share == 1.0


def test_what_was_read_is_kept_until_the_attributes_are_others(tmp_path: Path, schema: AttributeSchema) -> None:
    uri = str(tmp_path)
    write_latents(uri, COLUMNS)
    told = find_told(uri, schema, TUNE)
    (tmp_path / "latents-00000.parquet").unlink()  # not looked at again
    assert find_told(uri, schema, TUNE) == told
    with pytest.raises(FileNotFoundError):
        find_told(uri, AttributeSchema(attributes=schema.attributes[:2]), TUNE)
