"""HAProxy for a service of this machine: its own ports and files, and nothing of it open to other machines."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from serve.proxy import FILES, LAUNCHER, PORTS, AddressInUseError, local_environment, require_free
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
    assert local_environment("127.0.0.1", free_port()) == {"PYTHONPATH": str(Path(__file__).parents[2])}


def test_an_address_that_is_taken_is_told_and_a_free_one_stays_free() -> None:
    port = free_port()
    told = rf"can't listen at 127.0.0.1:{port} \(.*in use.*another --port"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(AddressInUseError, match=told):
        require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)


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
