"""A compiled step is one graph: the losses of the stages, and of the baseline with most in it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_step_of_a_stage_is_one_graph_without_a_break() -> None:
    names = ["pretrain", "refine", "finetune", "pdae"]
    command = [sys.executable, "-m", "tests.training.compiled_steps", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {name: {"breaks": 0, "graphs": 1} for name in names}
