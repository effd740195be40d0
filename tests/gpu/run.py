"""All of the kit in two runs that fit a quarter of an hour: python -m tests.gpu.run first, then ... run second.

The first, of at most 4 minutes, finds what is broken: the checks, and the benchmark's most important rows for a second
each. The second trains and judges the preset, then measures all rows that the time allows. Each command is a process
of its own, so that one which fails leaves the time to the next.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

FIRST_MINUTES, SECOND_MINUTES = 4.0, 10.0
CHECK_SECONDS = 120.0  # that a group of checks may take, of which the slowest run side by side
TRAIN_SHARE = 0.7  # of the second run
CLOSING = 10.0  # seconds that a command gets to write what it found


def main() -> int:
    """Run the commands of the first or the second run; the exit status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", choices=["first", "second"])
    parser.add_argument("--minutes", type=float, default=0.0, help="for the run; 0: 4 for the first, 10 for the second")
    parser.add_argument("--out", type=Path, default=Path("gpu-kit"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    minutes = arguments.minutes or (FIRST_MINUTES if arguments.which == "first" else SECOND_MINUTES)
    deadline = time.monotonic() + 60 * minutes
    common = ["--device", arguments.device, "--out", str(arguments.out)]
    if arguments.which == "first":
        check = ["tests.gpu.check", "--timeout", str(min(CHECK_SECONDS, 30 * minutes)), *common]
        failed = [run(check, deadline), run(["tests.gpu.bench", "--quick", *_minutes(deadline), *common], deadline)]
    else:
        train = ["tests.gpu.train", "--minutes", f"{TRAIN_SHARE * minutes:.2f}", *common]
        failed = [run(train, deadline), run(["tests.gpu.bench", *_minutes(deadline), *common], deadline)]
    return int(any(failed))


def run(command: Sequence[str], deadline: float) -> bool:
    """Run a module with what is left of the time; return whether it failed."""
    print(f"== {' '.join(command)}", flush=True)
    left = deadline - time.monotonic()
    try:
        return subprocess.run([sys.executable, "-m", *command], timeout=max(left, CLOSING)).returncode != 0
    except subprocess.TimeoutExpired:
        print(f"{command[0]} was ended after {left:.0f} s", flush=True)
        return True


def _minutes(deadline: float) -> list[str]:
    return ["--minutes", f"{max(deadline - time.monotonic() - CLOSING, 0.0) / 60:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
