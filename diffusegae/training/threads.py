"""How a worker's OpenMP threads wait for each other: spinning on an idle machine, asleep on an oversubscribed one.

Spinning at a barrier is the quickest way of waiting as long as every thread has a CPU; beside another busy process a
spinning thread holds the CPU that the thread it waits for is ready to run on. GNU's OpenMP fixes the length of the
spin when it is loaded (GOMP_SPINCOUNT), but spins for a hundred turns only while it manages more threads than there
are CPUs (libgomp, config/linux/wait.h). Idle teams, opened and parked beside the worker's own, make it so, and their
end undoes it. The number of threads that compute stays as it was, and so does every bit of the results.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between two readings
# Thread-seconds per second, ready to run but without a CPU: a Ray worker on two idle CPUs has 0.15 to 0.25 of them,
# beside one busy process 0.6 to 0.9.
BUSY, CALM = 0.4, 0.3
BUSY_READINGS, CALM_READINGS = 2, 5  # in a row: a start or a report makes one busy reading
GRAIN = 32768  # elements from which on ATen runs an elementwise operation in parallel
TASKS, MAPS = Path("/proc/self/task"), Path("/proc/self/maps")


class Oversubscription:
    """Whether threads want more CPUs than there are, from how long they were kept waiting for one; with hysteresis."""

    def __init__(self) -> None:
        self.found = False
        self._busy = self._calm = 0

    def update(self, delay: float) -> bool:
        """Take the thread-seconds that were waited in the last second; return whether it is found now.

        Its end takes more readings: spinning on beside load costs a factor, sleeping on without load a fifth.
        """
        self._busy = self._busy + 1 if delay >= BUSY else 0
        self._calm = self._calm + 1 if delay < CALM else 0
        if self._busy >= BUSY_READINGS:
            self.found = True
        elif self._calm >= CALM_READINGS:
            self.found = False
        return self.found


class IdleTeams:
    """Parked OpenMP teams that bring the process's number of managed threads above the number of CPUs."""

    def __init__(self, num_threads: int, num_cpus: int) -> None:
        missing = num_cpus + 1 - num_threads  # a team of n adds n - 1: its first thread is Python's
        self.num_teams = -(-missing // (num_threads - 1)) if num_threads > 1 and missing > 0 else 0
        self._size = GRAIN * num_threads
        self._released = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Open the teams, or leave them open."""
        if self._threads:
            return
        self._released = threading.Event()
        for number in range(self.num_teams):
            thread = threading.Thread(
                target=self._park, args=(self._released,), name=f"idle-team-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """End the teams, if they are open."""
        self._released.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _park(self, released: threading.Event) -> None:
        torch.zeros(self._size)  # libgomp keeps a thread's team for as long as the thread lives
        released.wait()


def run_delays() -> dict[str, int]:
    """Return the ns that each thread of this process has been ready to run without a CPU; OSError if not on Linux."""
    delays = {}
    for task in os.listdir(TASKS):
        try:
            delays[task] = int((TASKS / task / "schedstat").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile, or the kernel keeps no count
            continue
    return delays


@contextmanager
def adaptive_waiting(device: torch.device) -> Iterator[None]:
    """Let the threads that compute on a CPU wait in the way that suits the machine's load, for as long as this is open.

    Does nothing for other devices, for one thread, with another OpenMP than GNU's, or where the kernel doesn't say how
    long threads wait. torch.set_num_threads comes before.
    """
    teams = IdleTeams(torch.get_num_threads(), _num_cpus())
    if device.type != "cpu" or not teams.num_teams or not _is_supported():
        yield
        return
    stopped = threading.Event()
    monitor = threading.Thread(target=_monitor, args=(teams, stopped), name="oversubscription", daemon=True)
    monitor.start()
    try:
        yield
    finally:
        stopped.set()
        monitor.join()


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_supported() -> bool:
    try:
        return "libgomp" in MAPS.read_text() and bool(run_delays())
    except OSError:
        return False


def _monitor(teams: IdleTeams, stopped: threading.Event) -> None:
    """Read every PERIOD how long threads waited for a CPU, and open or close the idle teams when that changes."""
    state, before, then = Oversubscription(), run_delays(), time.monotonic()
    while not stopped.wait(PERIOD):
        now, delays = time.monotonic(), run_delays()
        waited = sum(delay - before.get(task, 0) for task, delay in delays.items()) * 1e-9 / (now - then)
        before, then, was_found = delays, now, state.found
        if state.update(waited) != was_found:
            _switch(teams, state.found, waited)
    teams.close()


def _switch(teams: IdleTeams, is_found: bool, waited: float) -> None:
    if is_found:
        teams.open()
        logger.info("threads waited %.2f s per second for a CPU: they sleep, not spin, while they wait", waited)
    else:
        teams.close()
        logger.info("threads have a CPU each again: they spin while they wait")
