"""The comparison's whole road on a real Ray: all methods trained and measured, what is done not done again."""

import json
from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.comparison import candidates
from diffusegae.comparison.ablations import Ablation, plan_ablations
from diffusegae.comparison.road import Comparison, ComparisonError
from diffusegae.config.compare import METHODS
from diffusegae.config.pipeline import PipelineConfig
from tests.tiny import smoke_config

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("ray_cluster")]

EDITORS, CODED = set(METHODS) - {"ddim"}, set(METHODS) - {"ddim", "stargan"}
ABLE = {  # what a row must have been measured by
    "recombine/unseen_instance/all_right": EDITORS,
    "replace/seen_pairs/swapped": EDITORS,
    "replace/unseen_pair/lpips": EDITORS,
    "reconstruct/seen_pairs/ssim": set(METHODS),
    "reconstruct_random/seen_pairs/fd_vgg16": set(METHODS),
    "codes/unseen_pair/leak": CODED,
    "codes/seen_pairs/mlp_leak_max": CODED,
    "codes/seen_pairs/part_dci_disentanglement": CODED,
    "path/seen_pairs/ppl/T4": {"diffusegae", "paper", "diffae", "pdae"},
}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Comparison:
    """Return a comparison of all methods that was run once."""
    storage_folder = tmp_path_factory.mktemp("compare")
    config = smoke_config(f"storage={storage_folder}", "compare.concurrent=2")
    comparison = Comparison(config)
    assert "report.html" in comparison.run()
    return comparison


def results_of(comparison: Comparison) -> dict[str, dict[str, float]]:
    content = json.loads(storage.read_bytes(storage.join(comparison.folder, "results.json")))
    return {finding["name"]: finding["metrics"] for finding in content["findings"]}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_every_method_is_measured_by_all_that_it_can_do(comparison: Comparison) -> None:
    found = results_of(comparison)
    assert set(found) == set(METHODS)
    for metric, able in ABLE.items():
        assert {name for name, metrics in found.items() if metric in metrics} == able, metric


def test_budgets_are_the_seconds_and_images_of_training(comparison: Comparison) -> None:
    findings = {c.row: finding for c in comparison.candidates if (finding := comparison.find(c))}
    assert {name for name, finding in findings.items() if 0 < finding.seconds < 300} == set(METHODS)
    config = comparison.config
    assert findings["gzsnet"].images == config.baselines.gzsnet.num_samples * 4
    assert findings["pdae"].images == config.baselines.ddim.num_samples + config.baselines.pdae.num_samples
    assert findings["diffae"].notes[-1].startswith("Edits by identity: ")


def test_a_second_run_does_only_what_is_missing(comparison: Comparison) -> None:
    root = Path(comparison.folder).parent
    storage.delete(storage.join(comparison.folder, "gzsnet-0", "finding.json"))
    before = times(root)
    Comparison(comparison.config).run()
    changed = {path for path, time in times(root).items() if before.get(path) != time}
    assert {path.parent.name for path in changed} == {"gzsnet-0", "compare"}
    written = {path.name for path in changed if path.parent.name == "compare" and path.suffix != ".png"}
    assert written == {"report.html", "results.json"}


def test_the_report_of_what_is_measured_so_far_names_what_is_not(comparison: Comparison) -> None:
    before = times(Path(comparison.folder).parent)
    more = Comparison(comparison.config, num_seeds=2)
    assert f"{len(METHODS)} of {2 * len(METHODS)} are not measured" in more.report()
    report = storage.read_bytes(storage.join(comparison.folder, "report.html")).decode()
    assert "Not measured yet: diffusegae-1, paper-1, " in report
    written = {path for path, time in times(Path(comparison.folder).parent).items() if before.get(path) != time}
    assert {path.parent.name for path in written} == {"compare"}
    comparison.report()
    assert "Not measured yet" not in storage.read_bytes(storage.join(comparison.folder, "report.html")).decode()


def test_a_method_that_fails_is_named_and_leaves_the_others_their_report(comparison: Comparison) -> None:
    broken = comparison.config.baselines.elegant.model_copy(update={"widths": (8, 2)})  # 3 attributes have no part
    baselines = comparison.config.baselines.model_copy(update={"elegant": broken})
    methods = ("diffusegae", "elegant")
    compare = comparison.config.compare.model_copy(update={"methods": methods})
    config = comparison.config.model_copy(update={"baselines": baselines, "compare": compare})
    with pytest.raises(ComparisonError, match=r"(?s)report.html.*measure elegant-0: it needs train smoke/elegant"):
        Comparison(config).run()
    assert set(results_of(comparison)) == {"diffusegae"}
    report = storage.read_bytes(storage.join(comparison.folder, "report.html")).decode()
    assert "Missing: train smoke/elegant: " in report


def test_ablations_stand_in_the_same_report(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("The stages", "The GAE")

    def plan_some(config: PipelineConfig) -> list[Ablation]:
        return [ablation for ablation in plan_ablations(config) if ablation.question in asked]

    monkeypatch.setattr(candidates, "plan_ablations", plan_some)
    Comparison(comparison.config, with_ablations=True).run()
    found = results_of(comparison)
    assert {"stage-1", "stage-2", "no-last-skip"} <= set(found)
    divided = [found[row]["codes/seen_pairs/is_divided"] for row in ("stage-1", "stage-2", "diffusegae")]
    assert divided == [0, 1, 1]  # stage 1 is judged by its undivided z_sem
    assert found["no-last-skip"]["replace/seen_pairs/mse"] != found["diffusegae"]["replace/seen_pairs/mse"]
    report = storage.read_bytes(storage.join(comparison.folder, "report.html")).decode()
    assert "last block without a skip" in report
