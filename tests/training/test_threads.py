"""How threads wait: when oversubscription is found and over, what opens idle teams, and that results don't change."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from diffusegae.training import threads
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from diffusegae.training.threads import (
    BUSY,
    BUSY_READINGS,
    CALM,
    CALM_READINGS,
    IdleTeams,
    Oversubscription,
    adaptive_waiting,
)
from tests.tiny import random_images, smoke_config, tiny_schema

CPU = torch.device("cpu")
BETWEEN = (BUSY + CALM) / 2


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def monitors() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "oversubscription"]


def idle_teams() -> int:
    return sum(thread.name.startswith("idle-team-") for thread in threading.enumerate())


def wait_until(condition: Callable[[], bool]) -> bool:
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.02)
    return False


def oversubscribed() -> Oversubscription:
    state = Oversubscription()
    for _ in range(BUSY_READINGS):
        state.update(BUSY)
    return state


def test_busy_readings_in_a_row_find_oversubscription_and_no_single_one() -> None:
    state = Oversubscription()
    for _ in range(3):
        assert not any(state.update(BUSY) for _ in range(BUSY_READINGS - 1))
        assert not state.update(BETWEEN)  # interrupts the row
    assert [state.update(BUSY) for _ in range(BUSY_READINGS)] == [False] * (BUSY_READINGS - 1) + [True]


def test_readings_between_the_thresholds_change_nothing() -> None:
    state = oversubscribed()
    assert all(state.update(BETWEEN) for _ in range(3 * CALM_READINGS))
    assert not any(Oversubscription().update(BETWEEN) for _ in range(3 * BUSY_READINGS))


def test_it_ends_after_calm_readings_in_a_row_and_no_sooner() -> None:
    state = oversubscribed()
    assert all(state.update(0.0) for _ in range(CALM_READINGS - 1))
    assert state.update(BETWEEN)  # interrupts the row
    assert [state.update(0.0) for _ in range(CALM_READINGS)] == [True] * (CALM_READINGS - 1) + [False]


@pytest.mark.parametrize(
    ("num_threads", "num_cpus", "num_teams"), [(2, 2, 1), (6, 8, 1), (2, 8, 7), (4, 8, 2), (1, 2, 0), (3, 2, 0)]
)
def test_idle_teams_are_the_fewest_that_outnumber_the_cpus(num_threads: int, num_cpus: int, num_teams: int) -> None:
    assert IdleTeams(num_threads, num_cpus).num_teams == num_teams
    managed = num_threads + num_teams * (num_threads - 1)
    if num_teams:
        assert managed - (num_threads - 1) <= num_cpus < managed


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="Linux counts threads there")
def test_idle_teams_are_threads_of_openmp_and_end_when_closed(two_threads: None) -> None:
    torch.zeros(threads.GRAIN * 2)  # this thread's own team
    before, teams = len(os.listdir("/proc/self/task")), IdleTeams(2, 2)
    teams.open()
    teams.open()
    assert wait_until(lambda: len(os.listdir("/proc/self/task")) == before + 2)  # Python's and the team's second
    teams.close()
    teams.close()
    assert wait_until(lambda: len(os.listdir("/proc/self/task")) == before)


@pytest.mark.usefixtures("two_threads")
def test_load_opens_idle_teams_and_its_end_closes_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    share, clock = [0.0], [0]

    def delays() -> dict[str, int]:
        clock[0] += int(share[0] * threads.PERIOD * 1e9)
        return {"1": clock[0]}

    monkeypatch.setattr(threads, "PERIOD", 0.01)
    monkeypatch.setattr(threads, "run_delays", delays)
    monkeypatch.setattr(threads, "_is_supported", lambda: True)
    monkeypatch.setattr(threads, "_num_cpus", lambda: 2)
    with caplog.at_level("INFO"), adaptive_waiting(CPU):
        assert monitors()
        assert not idle_teams()
        share[0] = 1.0
        assert wait_until(lambda: idle_teams() == 1)
        share[0] = 0.0
        assert wait_until(lambda: idle_teams() == 0)
        share[0] = 1.0
        assert wait_until(lambda: idle_teams() == 1)
    assert not monitors()
    assert not idle_teams()
    assert ["sleep" in record.message for record in caplog.records] == [True, False, True]  # once per change


@pytest.mark.usefixtures("two_threads")
def test_the_monitor_ends_with_the_training_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_is_supported", lambda: True)
    monkeypatch.setattr(threads, "_num_cpus", lambda: 2)

    def train() -> None:
        with adaptive_waiting(CPU):
            assert monitors()
            raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        train()
    assert not monitors()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("obstacle", ["device", "one thread", "no libgomp", "no /proc"])
def test_nothing_happens_where_it_can_not_help(obstacle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(threads, "_num_cpus", lambda: 2)
    if obstacle == "one thread":
        torch.set_num_threads(1)
    if obstacle == "no libgomp":
        (tmp_path / "maps").write_text("libiomp5.so")
        monkeypatch.setattr(threads, "MAPS", tmp_path / "maps")
    if obstacle == "no /proc":
        monkeypatch.setattr(threads, "TASKS", tmp_path / "absent")
    with adaptive_waiting(torch.device("cuda" if obstacle == "device" else "cpu")):
        assert not monitors()


def weights_after_steps() -> torch.Tensor:
    torch.manual_seed(0)
    inputs = StageInputs(smoke_config("pretrain.batch_size=32"), tiny_schema(8, 8, 8))
    state = TrainingState(STAGES["pretrain"](inputs), CPU, lambda module: module, seed=0)
    images = random_images(32)[:, None]
    for _ in range(3):
        state.step(images)
    return torch.cat([parameter.detach().flatten() for parameter in state.stage.model.parameters()])


@pytest.mark.usefixtures("two_threads")
def test_weights_are_the_same_bits_however_threads_wait() -> None:
    spinning, teams = weights_after_steps(), IdleTeams(2, 2)
    teams.open()
    try:
        assert torch.equal(weights_after_steps(), spinning)
    finally:
        teams.close()
