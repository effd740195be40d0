"""The clock of checkpoints: when one is due, that all workers hear the same, and how seldom they ask."""

from collections.abc import Callable

from diffusegae.training.save_clock import LOOKS, Said, SaveClock
from tests.clock import Clock


def test_a_lone_worker_saves_when_the_time_has_gone_and_again_after_as_long() -> None:
    hands = Clock()
    clock, due = SaveClock(60, clock=hands), []
    for step in range(1, 31):
        hands.now += 10
        if clock.is_due(step):
            due.append(step)
            hands.now += 25  # saving takes a while, which does not count
            clock.restart()
    assert due == [6, 12, 18, 24, 30]


def test_a_checkpoint_for_another_reason_puts_the_next_one_off() -> None:
    hands = Clock()
    clock = SaveClock(60, clock=hands)
    hands.now += 59
    clock.restart()
    hands.now += 59
    assert not clock.is_due(1)
    hands.now += 1
    assert clock.is_due(2)


def test_none_is_due_while_the_one_before_is_stored_nor_with_0_seconds() -> None:
    hands = Clock()
    clock, never = SaveClock(60, clock=hands), SaveClock(0, clock=hands)
    hands.now += 1e6
    assert not clock.is_due(1, is_busy=True)
    assert clock.is_due(2)
    assert not never.is_due(2)


class Line:
    """A broadcast between workers that run in turn, the first one first; counts what it carries."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.heard = 0

    def of(self, rank: int) -> Callable[[Said], Said]:
        def tell(said: Said) -> Said:
            if rank == 0:
                self.said.append(said)
            else:
                self.heard += 1
            return self.said[-1]

        return tell


def test_workers_whose_clocks_differ_save_after_the_same_steps_and_seldom_ask() -> None:
    line, first, second = Line(), Clock(), Clock()
    clocks = [SaveClock(300, line.of(rank), hands) for rank, hands in enumerate((first, second))]
    due: list[list[int]] = [[], []]
    num_steps, seconds = 20_000, 0.05  # three intervals and a third
    for step in range(1, num_steps + 1):
        first.now += seconds
        second.now += 7.0
        for clock, steps in zip(clocks, due, strict=True):
            if clock.is_due(step):
                steps.append(step)
                clock.restart()
    assert due[0] == due[1]
    assert len(line.said) == line.heard
    assert len(due[0]) == 3
    late = [(step - begin) * seconds - 300 for begin, step in zip([0, *due[0]], due[0], strict=False)]
    assert all(0 <= each <= 300 / LOOKS for each in late)
    assert len(line.said) <= 4 * LOOKS


def test_a_slow_first_step_as_of_compiling_does_not_make_workers_ask_at_every_step() -> None:
    line, hands = Line(), Clock()
    clock = SaveClock(300, line.of(0), hands)
    hands.now += 200
    clock.is_due(1)
    for step in range(2, 1001):
        hands.now += 0.01
        clock.is_due(step)
    assert len(line.said) < 5
