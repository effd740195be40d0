"""Profiling: a stage's real steps on stored images, in this process; the trace is one that Perfetto opens."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diffusegae.training.job import TrainingJob
from diffusegae.training.profiling import profile_stage
from tests.stored_images import write_images
from tests.tiny import smoke_config, tiny_schema

STEPS = 4


@pytest.fixture
def threads() -> Iterator[None]:
    """Profiling sets the threads of its process, which is this one."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.usefixtures("threads")
def test_the_table_tells_what_steps_take_and_the_trace_holds_each_of_them(tmp_path: Path) -> None:
    rows, trace = str(tmp_path / "images"), tmp_path / "profile" / "pretrain.json.gz"
    write_images(rows, {"a": 4, "b": 4, "c": 4})
    job = TrainingJob(stage="pretrain", config=smoke_config(), attributes=tiny_schema(8, 8, 8), rows=rows)
    table = profile_stage(job, str(trace), STEPS)

    title, *lines = table.splitlines()
    assert title == f"pretrain of smoke: {STEPS} steps on cpu, float32"
    figures = {label: float(value) for line in lines if (found := re.match(r"(\w[\w/ ]*?) {2,}([\d.e+]+)", line))
               for label, value in [found.groups()]}  # fmt: skip
    assert set(figures) == {"step", "images/s", "data wait", "MFU"}
    assert 0 <= figures["data wait"] < 100
    assert figures["images/s"] == pytest.approx(16 / figures["step"] * 1000, rel=0.01)
    assert "aten::convolution_backward" in table

    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    names = [event.get("name", "") for event in events]
    assert len({name for name in names if name.startswith("ProfilerStep#")}) == STEPS
    assert names.count("wait for data") == STEPS
