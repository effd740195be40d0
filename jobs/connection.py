"""The connection to Ray: to a cluster that answers, or a Ray of this machine's own.

Ray, torch and MLflow read some of their environment when they are imported. So `connect` sets it first, and a job
imports the library after it, inside its main function.
"""

import logging
import os
import socket
from collections.abc import Callable

from jobs.local_ray import local_environment

JOB_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
DATA_CPUS = 2  # logical CPUs beside the trainer's, so that Ray Data's tasks can run
ANSWER_SECONDS = 10.0


class NoRayError(ConnectionError):
    """No Ray to run on."""


def connect(address: str, more: Callable[[], dict[str, str]] = dict, check: Callable[[], object] = lambda: None) -> str:
    """Connect to a cluster, or start Ray for this machine alone, with more of an environment; return its dashboard.

    `check` runs in that environment before anything is started, and ends the job by what it raises.

    Raises:
        NoRayError: nothing answers at the address, or Ray does not start here.
    """
    is_local = not (address or "RAY_ADDRESS" in os.environ or "RAY_JOB_ID" in os.environ)
    for name, value in {**JOB_ENVIRONMENT, **(local_environment() | more() if is_local else {})}.items():
        os.environ.setdefault(name, value)
    check()
    import ray

    if not is_local:
        require_answer(address or os.environ.get("RAY_ADDRESS", ""))
        return f"http://{ray.init(address=address or 'auto', log_to_driver=True).dashboard_url}"
    cpus = (os.cpu_count() or 1) + DATA_CPUS
    try:
        local = ray.init(address="local", num_cpus=cpus, dashboard_host="127.0.0.1", logging_level=logging.WARNING)
    except Exception as error:  # whose type Ray leaves open: of a start that took too long it is Exception itself
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise NoRayError(
            f"Ray does not start on this machine: {reason}. Try again where the machine is busy or short of memory, set"
            " a shorter RAY_TMPDIR where it is long, and join another Ray of yours by --address auto"
        ) from error
    return f"http://{local.dashboard_url}"


def require_answer(address: str) -> None:
    """Check that something listens where a cluster should be; Ray itself would try for minutes.

    Raises:
        NoRayError: nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto" and the like, which Ray looks up
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise NoRayError(
            f"no Ray answers at {address} ({error}); start one there by `ray start --head`, correct --address (or"
            " RAY_ADDRESS), or leave it out for a Ray of this machine's own"
        ) from error
