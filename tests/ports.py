"""Free ports of this machine's loopback addresses, for the servers that tests start."""

import socket


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port of a loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
