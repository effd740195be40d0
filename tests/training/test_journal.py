"""The journal: what was written is read back in the order of training, and lost steps are dropped."""

import pytest

from diffusegae.training.journal import Journal, Step, read_journal


def write(root: str, rank: int, *counts: int) -> None:
    journal = Journal(root, rank)
    for count in counts:
        journal.add(count, [f"{count}-{rank}-{n}" for n in range(4)], num_members=2)
    journal.flush()


def test_steps_of_all_workers_come_back_in_order(storage_root: str) -> None:
    write(storage_root, 1, 0, 4)
    write(storage_root, 0, 0, 4)
    write(storage_root, 0, 8)
    steps = read_journal(storage_root)
    assert [(step.samples_seen, step.rank) for step in steps] == [(0, 0), (0, 1), (4, 0), (4, 1), (8, 0)]
    assert steps[1] == Step(0, 1, (("0-1-0", "0-1-1"), ("0-1-2", "0-1-3")))


def test_steps_after_the_checkpoint_are_dropped(storage_root: str) -> None:
    write(storage_root, 0, 0, 4)
    write(storage_root, 0, 8, 12)
    write(storage_root, 1, 8, 12)
    Journal(storage_root, 0).drop_from(8)
    assert [step.samples_seen for step in read_journal(storage_root)] == [0, 4]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_flush_without_steps_writes_nothing(storage_root: str, steps: int) -> None:
    journal = Journal(storage_root, 0)
    for _ in range(steps):
        journal.add(0, ["a"], num_members=1)
    journal.flush()
    journal.flush()
    assert len(read_journal(storage_root)) == steps
