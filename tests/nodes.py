"""A real Ray cluster of several nodes on this machine: one loopback address per node, token authentication, jobs.

Each node is a `ray start --block` of its own; killing one kills all of its processes at once, as a lost machine would.
"""

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.ports import free_port

ROOT = Path(__file__).parent.parent
START_SECONDS, JOB_SECONDS, START_ATTEMPTS = 90.0, 900.0, 2
_OWN_PORTS = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export")
_BIN = Path(sys.executable).parent
RAY = str(_BIN / "ray")
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # several nodes, each on its loopback address
    "RAY_DATA_USE_DATASOURCE_V2": "0",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "100000",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # a node whose head is lost ends soon
}


@dataclass
class Node:
    """One node: its address and the process that all of its others descend from."""

    address: str
    process: subprocess.Popen[bytes]

    def processes(self) -> list[psutil.Process]:
        """Return all living processes of the node."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)] if root.is_running() else []

    def kill(self) -> None:
        """kill -9 of every process of the node."""
        for process in self.processes():
            process.suspend()
        for process in reversed(self.processes()):
            process.kill()
        self.process.wait(timeout=20)


@dataclass
class NodeCluster:
    """A head and workers; `environment` is what every process of the cluster sees besides this process' own."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose addresses, ports and a token; nothing is started yet."""
        self.subnet = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"
        self.token = secrets.token_hex(16)
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: socket paths are limited
        self.head: Node | None = None
        self.workers: list[Node] = []
        self._started = 0

    def __enter__(self) -> "NodeCluster":
        """Return itself; `start` is the caller's."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill whatever still runs and remove its files."""
        for node in [*self.workers, *([self.head] if self.head else [])]:
            if node.process.poll() is None:
                node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the cluster's processes."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        own = {"PATH": f"{_BIN}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        return {**clean, **_QUIET, **own, **self.environment}

    @property
    def dashboard(self) -> str:
        """The address that jobs are submitted to."""
        return f"http://{self.subnet}.1:{self.dashboard_port}"

    @property
    def address(self) -> str:
        """The address that nodes join at."""
        return f"{self.subnet}.1:{self.port}"

    def start_head(self, cpus: float = 2, resources: Mapping[str, float] | None = None) -> Node:
        """Start the head (again) and wait until its dashboard answers."""
        address = f"{self.subnet}.1"
        self.port, self.dashboard_port = free_port(address), free_port(address)
        arguments = ["--head", f"--port={self.port}", f"--dashboard-host={address}"]
        arguments += [f"--dashboard-port={self.dashboard_port}", "--include-dashboard=true"]
        self.head = self._start(address, arguments, cpus, resources or {})
        self._wait(lambda: bool(self._get("/api/version")), "the dashboard")
        self._wait(self._takes_jobs, "the head's job agent")
        return self.head

    def add_node(self, cpus: float = 2, resources: Mapping[str, float] | None = None) -> Node:
        """Start a worker node and wait until the head knows it; one that gives up is started again, as machines do."""
        for _ in range(START_ATTEMPTS):
            address = f"{self.subnet}.{self._started + 1}"  # never that of another node, dead or alive
            node = self._start(address, [f"--address={self.address}"], cpus, resources or {})
            self._wait(lambda: node.process.poll() is not None or address in self.alive(), f"node {address}")  # noqa: B023
            self.workers.append(node)
            if node.process.poll() is None:
                return node
            self.lose(node)
        raise RuntimeError(f"no node joined in {START_ATTEMPTS} attempts:\n{self._logs()}")

    def lose(self, *nodes: Node) -> None:
        """Kill worker nodes, of which some may be dead already, and wait until the head knows."""
        for node in nodes:
            if node.process.poll() is None:
                node.kill()
            self.workers.remove(node)
        self._wait(lambda: self.alive().isdisjoint(node.address for node in nodes), "the loss of nodes")

    def alive(self) -> set[str]:
        """Return the addresses of the nodes that the head holds for alive."""
        return {raylet["nodeManagerAddress"] for raylet in self._raylets() if raylet.get("state") == "ALIVE"}

    def node_ids(self) -> dict[str, str]:
        """Return the hex ids of all nodes by address."""
        return {raylet["nodeManagerAddress"]: raylet["nodeId"] for raylet in self._raylets()}

    def _raylets(self) -> list[dict[str, str]]:
        return [node["raylet"] for node in self._get("/nodes?view=summary")["data"]["summary"]]

    def tasks(self) -> list[dict[str, str]]:
        """Return what the cluster knows of the tasks that ran: name, state, node_id and more."""
        return list(self._get("/api/v0/tasks?detail=1&limit=10000")["data"]["result"]["result"])

    def kill_head(self) -> None:
        """Lose the head, and with it the cluster: every other node ends, of its own or by force."""
        assert self.head is not None
        self.head.kill()
        for node in self.workers:
            if node.process.poll() is None:
                node.kill()
        self.workers.clear()

    def submit(self, command: str, log: Path, *options: str) -> subprocess.Popen[bytes]:
        """Run `ray job submit` of a shell command in the background, with the repository as working directory."""
        return self._submit(shlex.split(command), log, "--working-dir", ".", *options)

    def _submit(self, command: list[str], log: Path, *options: str) -> subprocess.Popen[bytes]:
        arguments = [RAY, "job", "submit", "--address", self.dashboard, *options, "--", *command]
        with log.open("wb") as output:
            return subprocess.Popen(arguments, cwd=ROOT, env=self.variables, stdout=output, stderr=subprocess.STDOUT)

    def _takes_jobs(self) -> bool:
        """Tell whether the head, which answers before its agent is up, runs a job."""
        return self._submit(["true"], self.folder / "probe.log").wait(timeout=START_SECONDS) == 0

    def run(self, command: str, log: Path, code: int = 0) -> str:
        """Submit a job, wait for its end, check its exit code and return its log."""
        process = self.submit(command, log)
        status = process.wait(timeout=JOB_SECONDS)
        text = log.read_text(errors="replace")
        assert (status == 0) == (code == 0), text[-5000:]
        return text

    def _start(self, address: str, arguments: list[str], cpus: float, resources: Mapping[str, float]) -> Node:
        self._started += 1
        command = [
            *(RAY, "start", "--block", "--disable-usage-stats", f"--node-ip-address={address}"),
            *(f"--num-cpus={cpus:g}", f"--resources={json.dumps(dict(resources))}", "--object-store-memory=200000000"),
            *(f"--{name}-port={free_port(address)}" for name in _OWN_PORTS),
            f"--temp-dir={self.folder}/{self._started}",  # its own: nodes that share one delete each other's files
            *arguments,
        ]
        with (self.folder / f"node-{self._started}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        return Node(address, process)

    def _get(self, path: str) -> dict:  # type: ignore[type-arg]
        request = urllib.request.Request(self.dashboard + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    def _wait(self, condition, what: str) -> None:  # type: ignore[no-untyped-def]
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if condition():
                    return
            except (urllib.error.URLError, OSError, KeyError):
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not come in {START_SECONDS:.0f} s:\n{self._logs()}")
            time.sleep(0.2)

    def _logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))


def find_workers(root: int) -> list[psutil.Process]:
    """Return the training workers among the descendants of a process."""
    found = []
    for process in psutil.Process(root).children(recursive=True):
        try:
            if any("RayTrainWorker" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and all that descend from it, at once."""
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in tree:
        try:
            os.kill(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
