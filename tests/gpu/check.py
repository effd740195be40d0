"""Check on a device that everything computes what it computes on a CPU: python -m tests.gpu.check [--device cuda].

Each group of checks is a process of its own, several of them side by side, so that neither a failure nor a crash of
the driver hides the others. The exit status is 0 only if none failed.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from tests.gpu import check_compile, check_editing, check_evaluation, check_networks, check_resume, check_steps
from tests.gpu.machine import describe, device_of
from tests.gpu.outcome import Check, Outcome, as_table, read_outcomes, run_check

# Those that take longest stand first, since they run side by side.
GROUPS: dict[str, Callable[[torch.device], dict[str, Check]]] = {
    "compile": check_compile.checks,
    "compile-baselines": check_compile.baseline_checks,
    "editing": check_editing.checks,
    "networks": check_networks.checks,
    "resume": check_resume.checks,
    "steps": check_steps.checks,
    "evaluation": check_evaluation.checks,
}


def main() -> int:
    """Run all groups or one, print the table, write it to the folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=list(GROUPS), nargs="*", default=list(GROUPS), help="groups to run")
    parser.add_argument("--jobs", type=int, default=0, help="groups side by side; 0: all on a GPU, 1 on a CPU")
    parser.add_argument("--timeout", type=float, default=200.0, help="seconds that a group may take")
    parser.add_argument("--out", type=Path, help="folder for check.json and check.txt")
    parser.add_argument("--worker", choices=list(GROUPS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = device_of(arguments.device)
    if arguments.worker:
        return work(arguments.worker, device)
    jobs = arguments.jobs or (len(GROUPS) if device.type == "cuda" else 1)
    run = partial(run_group, device=device, timeout=arguments.timeout)
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = [outcome for group in pool.map(run, arguments.only) for outcome in group]
    text = f"{describe(device)}\n{as_table(outcomes)}"
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "check.txt").write_text(text + "\n")
        (arguments.out / "check.json").write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))
    print(text)
    return int(any(outcome.verdict == "FAIL" for outcome in outcomes))


def work(group: str, device: torch.device) -> int:
    """Run one group in this process and tell each check's beginning and outcome as a line of JSON."""
    for name, check in GROUPS[group](device).items():
        print(json.dumps({"begins": name}), flush=True)
        print(run_check(name, check).to_line(), flush=True)
    return 0


def run_group(group: str, device: torch.device, timeout: float) -> list[Outcome]:
    """Run one group in a process of its own and return its outcomes."""
    command = [sys.executable, "-m", "tests.gpu.check", "--worker", group, "--device", str(device)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=_environment(device))
        output = done.stdout
        ending = "" if done.returncode == 0 else f"ended with {done.returncode}: {_last_line(done.stderr)}"
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        ending = f"took more than {timeout:.0f} s"
    return list(read_outcomes(group, output.splitlines(), ending))


def _environment(device: torch.device) -> dict[str, str]:
    """Return the environment of a group: cuBLAS' workspace is fixed, without which it may vary between two runs."""
    return {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if device.type == "cuda" else dict(os.environ)


def _last_line(text: str) -> str:
    lines: Iterator[str] = (line for line in reversed(text.splitlines()) if line.strip())
    return next(lines, "no output")[:300]


if __name__ == "__main__":
    sys.exit(main())
