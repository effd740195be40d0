"""What every job's command line shares: --config, --set, --address, and the connection to Ray.

Ray, torch and MLflow read some of their environment when they are imported. So `connect` sets it first, and a job
imports the library after it, inside its main function.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from diffusegae.config.load import describe_config, load_config
from diffusegae.config.pipeline import PipelineConfig

PRESETS = Path(__file__).parent / "configs"
JOB_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
LOCAL_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every listener on loopback
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # Ray's default of 15 starves its workers beside anything else that runs
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
}
DATA_CPUS = 2  # logical CPUs beside the trainer's, so that Ray Data's tasks can run


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


def connect(address: str, more: Callable[[], dict[str, str]] = dict) -> str:
    """Connect to a cluster, or start Ray for this machine alone, with more of an environment; return its dashboard."""
    is_local = not (address or "RAY_ADDRESS" in os.environ or "RAY_JOB_ID" in os.environ)
    for name, value in {**JOB_ENVIRONMENT, **(LOCAL_ENVIRONMENT | more() if is_local else {})}.items():
        os.environ.setdefault(name, value)
    import ray

    if not is_local:
        return f"http://{ray.init(address=address or 'auto', log_to_driver=True).dashboard_url}"
    cpus = (os.cpu_count() or 1) + DATA_CPUS
    local = ray.init(address="local", num_cpus=cpus, dashboard_host="127.0.0.1", logging_level=logging.WARNING)
    return f"http://{local.dashboard_url}"


def run(main: Callable[[], None]) -> None:
    """Run a job: errors of the user's making end with one clear line and exit code 2, others with their traceback."""
    sys.path[:] = [path for path in sys.path if Path(path) != PRESETS.parent]  # whose profile.py hides Python's
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    try:
        main()
    except Exception as error:
        if not type(error).__module__.startswith(("diffusegae.", "serve.")):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
