"""The former name of `jobs.rollout`; remove it after the next version."""

import sys

from jobs.cli import run
from jobs.rollout import main

if __name__ == "__main__":
    print("warning: python -m jobs.swap is now python -m jobs.rollout", file=sys.stderr)
    run(main)
