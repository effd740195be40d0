"""The kit on a CPU at smoke size: every command runs to its end, without what a GPU machine need not have."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diffusegae.checkpoint import CheckpointMeta, read_meta, read_tensors
from diffusegae.config.training import PretrainConfig
from diffusegae.editing.loading import load_editor
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.training.step import learning_rate_at
from tests.gpu import bundle, run
from tests.gpu.budget import LEAST_STEPS, Shares, may_move_end, samples_in_time
from tests.gpu.bundle import BundleError, join_parts, write_parts
from tests.gpu.outcome import Failed, Outcome, Skipped, as_table, read_outcomes, require, run_check
from tests.gpu.samples import schema_of
from tests.gpu.sizes import KIT_PRESET, preset
from tests.gpu.world import MemoryLookup, plan_batches, render_world

ROOT = Path(__file__).parents[2]
ABSENT = ("ray", "mlflow", "s3fs", "fastapi", "starlette", "optuna", "httpx", "botocore", "psutil", "diffusers")
BLOCK = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(name + " is absent")
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def run_kit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return what runs a command of the kit where it can't import what a GPU machine need not have, and its output."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join([str(folder), str(ROOT)])

    def run(module: str, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run


# The front end of the compiler takes a minute on all stages; tests/training checks it by itself.
GROUPS = ("networks", "steps", "resume", "editing", "evaluation")


def test_check_passes_on_a_cpu(tmp_path: Path, run_kit: Callable[..., str]) -> None:
    text = run_kit("tests.gpu.check", "--device", "cpu", "--only", *GROUPS, "--out", str(tmp_path))
    assert "0 failed" in text.splitlines()[-1]
    assert (tmp_path / "check.txt").read_text() == text
    outcomes = json.loads((tmp_path / "check.json").read_text())
    assert sum(outcome["verdict"] == "pass" for outcome in outcomes) > 40


def test_bench_measures_every_row_or_says_why_not(tmp_path: Path, run_kit: Callable[..., str]) -> None:
    run_kit("tests.gpu.bench", "--device", "cpu", "--seconds", "0.05", "--out", str(tmp_path))
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    without = {row["name"]: row["note"] for row in rows if not row["figures"]}
    assert set(without) == {"smoke diffusers loop"}
    assert "absent" in without["smoke diffusers loop"]
    assert all(value == value for row in rows for value in row["figures"].values())


def test_bench_without_time_says_so_of_every_row(tmp_path: Path, run_kit: Callable[..., str]) -> None:
    run_kit("tests.gpu.bench", "--device", "cpu", "--minutes", "0", "--out", str(tmp_path))
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert all(row["note"].startswith("not run: ") for row in rows[1:])


def test_train_goes_through_all_stages_and_what_comes_back_is_a_checkpoint(
    tmp_path: Path, run_kit: Callable[..., str]
) -> None:
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"
    arguments = ["--config", "smoke", "--minutes", "0.2", "--device", "cpu", "--processes", "1", "--out", str(out)]
    text = run_kit("tests.gpu.train", *arguments)
    assert all(name in text for name in ("pretrain", "refine", "finetune", "random x_T: MSE"))
    files = [path for path in out.iterdir()]
    assert len(files) <= bundle.MOST_FILES
    assert max(path.stat().st_size for path in files) <= bundle.PART_BYTES
    join_parts(out, checkpoint)
    editor = load_editor(checkpoint)
    images = torch.zeros(2, 3, editor.image_size, editor.image_size)
    assert editor.edit(images, {"pose": images}).isfinite().all()


def test_a_failure_a_crash_and_an_absence_do_not_hide_what_stands_beside_them() -> None:
    def crash() -> str:
        raise ZeroDivisionError("by nothing")

    def skip() -> str:
        raise Skipped("no such card")

    found = [
        run_check("fails", lambda: require(False, "2 > 1")),
        run_check("crashes", crash),
        run_check("skips", skip),
        run_check("passes", lambda: require(True, "1 < 2")),
    ]
    assert [outcome.verdict for outcome in found] == ["FAIL", "FAIL", "skip", "pass"]
    assert "ZeroDivisionError: by nothing" in found[1].detail
    assert as_table(found).splitlines()[-1] == "1 passed, 2 failed, 1 skipped"
    with pytest.raises(Failed, match="2 > 1"):
        require(False, "2 > 1")


def test_a_process_that_dies_fails_the_check_it_was_in() -> None:
    done = Outcome("first", "pass", "well", 1.0)
    lines = ['{"begins": "first"}', done.to_line(), "a library's own line", '{"begins": "second"}', '{"begi']
    first, second = read_outcomes("steps", lines, "ended with -11")
    assert first == done
    assert (second.name, second.verdict) == ("second", "FAIL")
    assert "ended with -11" in second.detail


def test_a_stage_ends_in_time_and_its_rate_never_jumps() -> None:
    """The end is moved while the rate is constant, so the rate is that of a stage planned so from the beginning."""
    config = PretrainConfig(num_samples=100_000, batch_size=100, warmup_samples=1000, decay_from=0.4)
    assert samples_in_time(config, 5000, rate=1000.0, seconds=20.0, most=100_000) == 25_000
    assert samples_in_time(config, 5000, rate=1000.0, seconds=500.0, most=100_000) == 100_000
    assert samples_in_time(config, 0, rate=1.0, seconds=1.0, most=100_000) == LEAST_STEPS * 100
    late = samples_in_time(config, 5000, rate=1.0, seconds=0.0, most=100_000)
    assert late * config.decay_from >= 5000  # the rate has not begun to fall
    for seen in range(0, 40_000, 100):
        assert may_move_end(config, seen) == (seen + 100 <= 40_000)
    moved = config.model_copy(update={"num_samples": 25_000})
    for seen in range(0, 5000, 100):
        assert learning_rate_at(config, seen) == learning_rate_at(moved, seen)


def test_shares_hand_on_what_a_stage_leaves() -> None:
    shares = Shares()
    assert shares.seconds_for("evaluate", 30.0) == pytest.approx(30.0)
    pretrain = shares.seconds_for("pretrain", 100.0)
    assert pretrain == pytest.approx(58.0)
    assert shares.seconds_for("refine", 100.0 - pretrain) == pytest.approx(14.0)


def test_a_world_in_memory_is_the_one_that_ingest_writes() -> None:
    config = preset("smoke")
    world = render_world(config, processes=1)
    assert world.pixels.shape == (4 * 12 * 4, 32, 32, 3)
    assert 0 < world.held_out.mean() < 0.5
    lookup = MemoryLookup(world)
    columns = world.schema.group_columns
    wanted = lookup.labels.matrix(columns)[[3, 77]]
    assert lookup.find(wanted, columns).tolist() == [3, 77]
    assert (lookup.take(torch.tensor([3, 77]).numpy()) == world.pixels[[3, 77]]).all()
    rows = next(plan_batches(world, None, 16)).columns["row"]
    assert not world.held_out[rows].any()


def test_the_preset_comes_back_whole_beside_its_figures() -> None:
    config = preset(KIT_PRESET)
    with torch.device("meta"):
        weights = DiffuseGAE(config.model, schema_of(config)).state_dict()
    halves = sum(2 * value.numel() for value in weights.values())
    assert halves <= bundle.TOTAL_BYTES - 8 * 2**20
    assert (
        -(-halves // bundle.PART_BYTES) + len(["figures.zip", "meta.json", "bench.json", "bench.md"])
        <= bundle.MOST_FILES
    )


def test_a_command_that_takes_too_long_is_ended_and_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CLOSING", 0.2)
    assert run.run(["timeit", "-n", "1", "-r", "1", "import time; time.sleep(30)"], time.monotonic())
    assert run.run(["tests.gpu.no_such_module"], time.monotonic() + 30)
    assert not run.run(["timeit", "-n", "1", "-r", "1", "pass"], time.monotonic() + 30)


def test_parts_are_joined_bit_for_bit_and_a_lost_one_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "PART_BYTES", 1000)
    weights = {"a": torch.randn(700).half().float(), "count": torch.tensor([3])}
    config = preset("smoke")
    meta = CheckpointMeta(
        stage="finetune", samples_seen=8, positions=(), config=config, attributes=schema_of(config), versions={}
    )
    parts = tmp_path / "parts"
    parts.mkdir()
    assert write_parts(weights, meta, parts) == 2
    join_parts(parts, tmp_path / "whole")
    assert read_meta(tmp_path / "whole") == meta
    joined = read_tensors(tmp_path / "whole", "ema")
    assert all(torch.equal(joined[name], value) for name, value in weights.items())
    (parts / "ema.safetensors.part-01").unlink()
    with pytest.raises(BundleError, match="not a whole file"):
        join_parts(parts, tmp_path / "again")
    monkeypatch.setattr(bundle, "TOTAL_BYTES", 2000)
    with pytest.raises(BundleError, match="may come back"):
        write_parts({"a": torch.randn(5000)}, meta, tmp_path)
