"""Evaluation on a real Ray: killed at any moment it finds the same figures, and nothing that was kept is done again."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffusegae.config.training import ResourcesConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.evaluation import tasks
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.pieces import Assignment, assign
from diffusegae.evaluation.tasks import measure_all
from diffusegae.schema import AttributeSchema
from tests.evaluation.conftest import CONFIG
from tests.tiny import save_tiny_checkpoint

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def assignments(
    painted: ImageLookup, painted_schema: AttributeSchema, tmp_path_factory: pytest.TempPathFactory
) -> list[Assignment]:
    folder = tmp_path_factory.mktemp("evaluated")
    specs = {
        "vehicle": {"column": "kind", "group_column": "instance", "width": 8},
        "ground": {"width": 8},
        "pose": {"width": 8},
    }
    data = CONFIG.data.model_validate({**CONFIG.data.model_dump(), "attributes": specs, "holdout": {"images": 30}})
    config = CONFIG.model_copy(update={"data": data})
    save_tiny_checkpoint(folder / "weights", config, painted_schema)
    ours = assign(config, painted.uri, str(folder / "pieces"), "diffusegae", str(folder / "weights"), "w")
    return [ours, assign(config, painted.uri, "")]


@pytest.fixture(scope="module")
def found(assignments: list[Assignment], ray_cluster: None) -> Measured:
    ours, references = measure_all(assignments, "test")
    assert "judge/seen_pairs/chance/pose" in references.metrics
    return ours


def kept(folder: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*.npz")}


def test_a_second_time_nothing_is_measured(found: Measured, assignments: list[Assignment]) -> None:
    before = kept(assignments[0].folder)
    again, _ = measure_all(assignments, "test")
    assert kept(assignments[0].folder) == before
    assert again.metrics == found.metrics


def test_a_lost_piece_alone_is_measured_again(found: Measured, assignments: list[Assignment]) -> None:
    before = kept(assignments[0].folder)
    lost = sorted(path for path in before if path.name.startswith("replace"))[1]
    lost.unlink()
    again, _ = measure_all(assignments, "test")
    after = kept(assignments[0].folder)
    assert {path for path in after if after[path] != before[path]} == {lost}
    assert again.metrics == found.metrics
    for name, items in found.items.items():
        assert np.array_equal(items.stratum, again.items[name].stratum)


def test_other_weights_or_another_judging_have_pieces_of_their_own(
    assignments: list[Assignment], painted: ImageLookup
) -> None:
    ours = assignments[0]
    more = ours.config.model_copy(update={"evaluate": ours.config.evaluate.model_copy(update={"num_edits": 9})})
    folders = {
        ours.folder,
        assign(ours.config, painted.uri, "p", "diffusegae", "w", "other weights").folder,
        assign(more, painted.uri, "p", "diffusegae", "w", "w").folder,
    }
    assert len({folder.rpartition("/")[2] for folder in folders}) == 3


def test_methods_are_loaded_on_the_device_at_hand(
    assignments: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[object] = []

    class LoadedError(Exception):
        """Enough is known."""

    def load(_: str, __: Path, ___: object, device: object) -> None:
        devices.append(device)
        raise LoadedError

    context = SimpleNamespace(schema=None)
    monkeypatch.setattr(tasks, "_context", lambda _: context)
    monkeypatch.setattr(tasks, "load_subject", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(LoadedError):
        tasks.choose_ways(assignments[0])
    assert devices == [torch.device("cuda")]


def test_a_piece_asks_for_a_workers_gpu_or_for_one_cpu() -> None:
    on_gpu, on_cpu = (
        tasks.as_task(tasks.measure_piece, ResourcesConfig(gpus_per_worker=gpus, cpus_per_worker=4))._default_options
        for gpus in (0.5, 0)
    )
    assert (on_gpu["num_gpus"], on_gpu["num_cpus"]) == (0.5, 4)
    assert (on_cpu["num_gpus"], on_cpu["num_cpus"]) == (0, 1)
    assert on_gpu["max_retries"] == tasks.MAX_DEATHS
