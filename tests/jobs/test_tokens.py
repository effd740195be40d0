import os
import re
import subprocess
import sys
from pathlib import Path

from serve.http.tokens import load_tokens

ROOT = Path(__file__).parents[2]


def make(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jobs.tokens", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_entries_can_be_appended_and_the_token_is_shown_apart(tmp_path: Path) -> None:
    made = [make("--name", name, "--requests-per-minute", "12") for name in ("alice", "bob")]
    file = tmp_path / "tokens.yaml"
    file.write_text("".join(each.stdout for each in made))
    assert [(token.name, token.requests_per_minute) for token in load_tokens(str(file))] == [("alice", 12), ("bob", 12)]
    for each in made:
        (secret,) = re.findall(r"dgae_\S+", each.stderr)
        assert secret not in each.stdout


def test_a_wrong_value_is_one_line_and_exit_code_2() -> None:
    refused = make("--name", "alice", "--burst", "0")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: burst:")
    assert refused.stdout == ""


def test_no_job_hides_a_module_that_python_needs() -> None:
    """As a script, a job is run with jobs/ first on the path: a jobs/token.py broke every import of `tokenize`.

    `run` takes it off again. A name that Python has, too, must be Python's by then, and not have been needed before.
    """
    names = sorted({path.stem for path in (ROOT / "jobs").glob("*.py")} & sys.stdlib_module_names)
    where = f"print(*[importlib.util.find_spec(name).origin for name in {names}], sep='\\n')"
    program = (
        f"import importlib.util, sys; sys.path[:0] = ['jobs', '.']; from jobs.cli import run; run(lambda: {where})"
    )
    program = program.replace("'jobs'", repr(str(ROOT / "jobs")))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert names == ["profile"]
    assert [Path(origin).parent for origin in done.stdout.split()] == [Path(os.__file__).parent]
