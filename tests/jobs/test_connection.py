"""What a job says and how it ends where the world is not as it needs it: one line, an exit code, a traceback kept."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from jobs.cli import LOG
from jobs.connection import NoRayError, connect, require_answer
from tests.jobs.road import ROOT
from tests.ports import free_port


def run_job(folder: Path, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], float]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "ingest.py"), "--config", "smoke", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | variables, timeout=240,
    )  # fmt: skip
    return done, time.monotonic() - begun


def test_an_address_of_nobody_is_told_at_once_in_one_line(tmp_path: Path) -> None:
    done, seconds = run_job(tmp_path, "--address", f"127.0.0.1:{free_port()}")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no Ray answers at 127.0.0.1:")
    assert "correct --address (or RAY_ADDRESS), or leave it out" in line
    assert line.endswith(f"(traceback in {LOG})")
    assert "NoRayError" in (tmp_path / LOG).read_text()
    assert seconds < 60, "Ray itself would try for minutes"


@pytest.mark.ray
def test_a_folder_of_rays_that_is_too_long_is_told_in_one_line(tmp_path: Path) -> None:
    done, _ = run_job(tmp_path, RAY_TMPDIR=str(tmp_path / ("long" * 30)))
    assert done.returncode == 3
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: Ray does not start on this machine: ")
    assert "set a shorter RAY_TMPDIR" in line
    assert "Traceback" not in done.stderr


OWN_RAY = """
import sys
from jobs.connection import connect
connect("")
import ray
from ray.util.state import list_nodes

@ray.remote
def known() -> list[str]:
    return [node.node_id for node in list_nodes()]

assert ray.get(known.remote()) == [node.node_id for node in list_nodes()] == [ray.get_runtime_context().get_node_id()]
print("found", flush=True)
sys.stdin.read()
"""


@pytest.mark.ray
def test_each_of_two_rays_of_one_machine_is_found_by_its_own_processes(tmp_path: Path) -> None:
    """Ray Train asks for the state of its actors from inside an actor, which has no address but the environment's."""
    variables = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    variables |= {"PYTHONPATH": str(ROOT)}
    rays: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(2):
            rays.append(
                subprocess.Popen(
                    [sys.executable, "-c", OWN_RAY],
                    cwd=tmp_path, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )  # fmt: skip
            assert rays[-1].stdout is not None
            assert rays[-1].stdout.readline() == b"found\n"
    finally:
        for each in rays:
            each.communicate()
    assert [each.returncode for each in rays] == [0, 0]


def test_a_ray_that_starts_too_slowly_is_the_worlds_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nMore.")  # as Ray does, of no narrower type

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"})
    with pytest.raises(NoRayError, match=r"does not start on this machine: The current node timed out .*\. Try again"):
        connect("")


def test_what_ray_looks_up_by_itself_is_not_asked() -> None:
    require_answer("auto")
    with pytest.raises(NoRayError, match="no Ray answers at ray://"):
        require_answer(f"ray://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        ("OSError(28, 'No space left on device')", 3, "error: OSError: [Errno 28] No space left on device ("),
        ("ray.exceptions.RayTaskError('f', 'traceback', PermissionError(13, 'no'))", 3, "error: PermissionError: [Er"),
        ("SourceError('no table')", 2, "error: no table"),
        ("ray.exceptions.RayTaskError('f', 'long traceback', SourceError('no table'))", 2, "error: no table"),
        ("ZeroDivisionError('ours')", 1, "ZeroDivisionError: ours"),
    ],
)  # fmt: skip
def test_the_exit_code_says_whose_error_it_was(raised: str, code: int, line: str, tmp_path: Path) -> None:
    program = (
        "import ray.exceptions\nfrom diffusegae.data.records import SourceError\nfrom jobs.cli import run\n"
        f"def main():\n    raise {raised}\nrun(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(line)
    assert (len(done.stderr.splitlines()) == 1) == (code != 1)
    assert (tmp_path / LOG).exists() == (code == 3)
