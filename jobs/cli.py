"""What every job's command line shares: --config, --set, --address, and how a job ends."""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from diffusegae.config.load import describe_config, load_config
from diffusegae.config.pipeline import PipelineConfig
from jobs.connection import connect

__all__ = ["PRESETS", "config_of", "connect", "parser", "run"]
PRESETS = Path(__file__).parent / "configs"
LOG = "diffusegae-error.log"  # of the traceback of an error that is told in a line


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every job has."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--config", default="quick", help="preset in jobs/configs or path of a YAML file")
    result.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, as seed=2")
    result.add_argument("--print-config", action="store_true", help="print the config and where each value is from")
    result.add_argument("--address", default="", help="Ray cluster; empty: a local one, 'auto': the running one")
    return result


def config_of(arguments: argparse.Namespace) -> PipelineConfig:
    """Load the config that the options name; with --print-config, print it and end."""
    if arguments.print_config:
        print(describe_config(arguments.config, arguments.set, PRESETS))
        sys.exit(0)
    return load_config(arguments.config, arguments.set, PRESETS)


def run(main: Callable[[], None]) -> None:
    """Run a job; end with one clear line and exit code 2 for an error of the user's making, 3 for one of the world's.

    The world's (a full disk, a port in use, nobody at an address) leave their traceback in LOG if it can be written;
    trying again may help. Any other error is ours and shows its traceback.
    """
    sys.path[:] = [path for path in sys.path if Path(path) != PRESETS.parent]  # whose profile.py hides Python's
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    try:
        main()
    except Exception as error:
        cause = getattr(error, "cause", None) or error  # of what was raised in a process of Ray's
        if isinstance(cause, OSError):
            kind = "" if type(cause).__module__.startswith(("jobs.", "serve.")) else f"{type(cause).__name__}: "
            print(f"error: {kind}{cause}{_kept(error)}", file=sys.stderr)
            sys.exit(3)
        if not type(cause).__module__.startswith(("diffusegae.", "serve.")):
            raise
        print(f"error: {cause}", file=sys.stderr)
        sys.exit(2)


def _kept(error: Exception) -> str:
    try:
        Path(LOG).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return ""
    return f" (traceback in {LOG})"
