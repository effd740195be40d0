"""HAProxy for a service of this machine: its own ports and files, and nothing of it open to other machines."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from diffusegae.config.load import ConfigError
from serve.deploy.proxy import FILES, LAUNCHER, PORTS, AddressError, local_environment, require_free
from tests.ports import free_port

CONFIG = """\
frontend prometheus
    bind :{metrics}
frontend http_frontend
    bind *:8000
listen stats
  bind *:{stats}
"""


def test_two_services_share_neither_ports_nor_files() -> None:
    one, other = (local_environment("127.0.0.1", free_port()) for _ in range(2))
    assert len({each[name] for each in (one, other) for name in PORTS}) == 2 * len(PORTS)
    assert all(one[name] != other[name] for name in FILES)
    assert os.access(one["RAY_SERVE_HAPROXY_BINARY_PATH"], os.X_OK)
    for each in (one, other):
        shutil.rmtree(Path(each["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]).parent)


def test_without_haproxy_there_is_nothing_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert local_environment("127.0.0.1", free_port()) == {"PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.mark.parametrize(
    ("listens", "host"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::1", "::1"), ("::1", "::")],
)
def test_an_address_that_is_taken_is_told_and_a_free_one_stays_free(listens: str, host: str) -> None:
    if ":" in listens and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    with socket.create_server((listens, 0), family=family) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressError, match=rf"listen at {host} port {port} \(.*in use.*another --port"):
            require_free(host, port)
    require_free(host, port)
    require_free(host, port)


def test_a_port_is_another_one_on_another_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        require_free("127.0.0.2", other.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "port", "kind", "told"),
    [
        ("192.0.2.1", 8000, AddressError, "give --host an address of this machine"),
        ("no.such.invalid", 8000, AddressError, "give --host an address of this machine"),
        ("127.0.0.1", 70_000, ConfigError, "--port 70000 is no port; expected 1 to 65535"),
        ("127.0.0.1", 0, ConfigError, "--port 0 is no port; expected 1 to 65535"),
    ],
)
def test_a_wrong_address_is_told_with_its_remedy(host: str, port: int, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        require_free(host, port)


def test_the_launcher_closes_what_is_nobodys_business_and_starts_the_real_one(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(metrics=9101, stats=8404))
    environment = {
        **os.environ,
        "RAY_SERVE_HAPROXY_STATS_PORT": "8404",
        "RAY_SERVE_HAPROXY_METRICS_PORT": "9101",
        "DIFFUSEGAE_HAPROXY": "/bin/echo",
    }
    command = [str(LAUNCHER), "-db", "-f", str(config), "-sf", "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-db", "-f", str(config), "-sf", "7"]
    assert config.read_text() == CONFIG.format(metrics=9101, stats=8404).replace(
        "bind :9101", "bind 127.0.0.1:9101"
    ).replace("bind *:8404", "bind 127.0.0.1:8404")
