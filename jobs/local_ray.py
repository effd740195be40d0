"""The environment of a Ray of this machine's own, whatever other Rays run beside it."""

import os
import socket

LOCAL_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every listener on loopback
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # Ray's default of 15 starves its workers beside anything else that runs
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
}
PORT = "RAY_GCS_SERVER_PORT"


def local_environment() -> dict[str, str]:
    """Return what a local Ray's processes must find in their environment, its address among it.

    Some of Ray's own actors look their cluster up by that address, and would find no or another Ray without it. So the
    port is chosen here: Ray's processes get the environment of the one that starts them, before it knows a port.
    """
    port = os.environ.get(PORT, "") or _free_port()
    return {**LOCAL_ENVIRONMENT, PORT: port, "RAY_ADDRESS": f"127.0.0.1:{port}"}


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])
