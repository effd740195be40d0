"""What several tests of the jobs look at: the whole road of `smoke`, walked once on this machine."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.jobs import road


class FinishedRoad(NamedTuple):
    """Where a road's results are, and what its job printed."""

    storage: Path
    text: str


@pytest.fixture(scope="session")
def finished_road(tmp_path_factory: pytest.TempPathFactory) -> FinishedRoad:
    """Run jobs/pipeline.py with `smoke`; tests read its results and leave them as they are."""
    storage = tmp_path_factory.mktemp("road") / "runs"
    return FinishedRoad(storage, road.run("pipeline", storage))
