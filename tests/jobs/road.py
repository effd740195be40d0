"""Running jobs as a user does: in a process of its own, from the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_SECONDS = 900


def command(job: str, storage: Path, *arguments: str, config: str = "smoke") -> list[str]:
    """Return the command line of a job with its storage in a test's folder."""
    return [sys.executable, f"jobs/{job}.py", "--config", config, "--set", f"storage={storage}", *arguments]


def start(job: str, storage: Path, *arguments: str, config: str = "smoke", log: Path) -> subprocess.Popen[bytes]:
    """Start a job, its output in a file, as the leader of a process group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        return subprocess.Popen(
            command(job, storage, *arguments, config=config),
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run(job: str, storage: Path, *arguments: str, config: str = "smoke", code: int = 0) -> str:
    """Run a job to its end and return what it printed; a failed assertion shows its tail."""
    log = storage.parent / f"{job}.log"
    process = start(job, storage, *arguments, config=config, log=log)
    try:
        status = process.wait(timeout=TIMEOUT_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    text = log.read_text(errors="replace")
    assert status == code, text[-5000:]
    return text
