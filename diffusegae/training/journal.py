"""The journal of a run: which samples every step was made of, so that anyone can check that each was used once.

A chunk is one JSON file per report and worker, named by the count of samples at which it begins. A run that goes on
from a checkpoint first drops the chunks of the steps that are lost, so the journal tells what the weights have seen.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from diffusegae import storage


@dataclass(frozen=True)
class Step:
    """One worker's share of one optimizer step: the count of samples before it, and the keys of its samples' members.

    The first member of a GROUP is its centre.
    """

    samples_seen: int
    rank: int
    samples: tuple[tuple[str, ...], ...]


class Journal:
    """Collects one worker's steps and writes them at every report."""

    def __init__(self, folder: str, rank: int) -> None:
        self.folder, self.rank = folder, rank
        self._steps: list[Step] = []

    def drop_from(self, samples_seen: int) -> None:
        """Delete what all workers wrote of steps from this count on; for the first worker, before its first step."""
        for path in storage.list_files(self.folder, ".json"):
            if _begin_of(path) >= samples_seen:
                storage.delete(path)

    def add(self, samples_seen: int, keys: Sequence[str], num_members: int) -> None:
        """Note a step by the keys of its rows [samples * members]."""
        rows = range(0, len(keys), num_members)
        samples = tuple(tuple(str(key) for key in keys[row : row + num_members]) for row in rows)
        self._steps.append(Step(samples_seen, self.rank, samples))

    def flush(self) -> None:
        """Write the steps since the last call."""
        if self._steps:
            name = f"{self._steps[0].samples_seen:012d}-{self.rank:04d}.json"
            content = [[step.samples_seen, step.samples] for step in self._steps]
            storage.write_bytes(storage.join(self.folder, name), json.dumps(content).encode())
        self._steps = []


def read_journal(folder: str) -> list[Step]:
    """Return the steps of all workers in the order of training: by count of samples, then by rank."""
    steps = []
    for path in storage.list_files(folder, ".json"):
        rank = int(path.rpartition("-")[2].removesuffix(".json"))
        for samples_seen, samples in json.loads(storage.read_bytes(path)):
            steps.append(Step(samples_seen, rank, tuple(tuple(members) for members in samples)))
    return sorted(steps, key=lambda step: (step.samples_seen, step.rank))


def _begin_of(path: str) -> int:
    return int(path.rpartition("/")[2].partition("-")[0])
