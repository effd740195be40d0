"""The comparison's whole road on a real Ray: all methods trained and measured, what is done not done again."""

import json
from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.comparison import candidates
from diffusegae.comparison.ablations import Ablation, plan_ablations
from diffusegae.comparison.candidates import Candidate
from diffusegae.comparison.road import Comparison, ComparisonError
from diffusegae.config.compare import METHODS
from diffusegae.config.pipeline import PipelineConfig
from tests.tiny import smoke_config

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("ray_cluster")]

ABLE = {  # what a method must have been measured by
    "counterfactual/recombine/all_right": set(METHODS) - {"ddim"},
    "counterfactual/replace/swapped_right": set(METHODS) - {"ddim"},
    "reconstruct/inferred/ssim": set(METHODS),
    "reconstruct/random/fd_vgg16": set(METHODS),
    "probe/mean_diagonal": set(METHODS) - {"ddim", "stargan"},
    "part_dci/disentanglement": set(METHODS) - {"ddim", "stargan"},
    "ppl/T4": {"diffusegae", "diffae", "pdae"},
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
    findings = {c.method: finding for c in comparison.candidates if (finding := comparison.read(c))}
    assert {name for name, (finding, _) in findings.items() if 0 < finding.seconds < 300} == set(METHODS)
    config = comparison.config
    assert findings["gzsnet"][0].images == config.baselines.gzsnet.num_samples * 4
    assert findings["pdae"][0].images == config.baselines.ddim.num_samples + config.baselines.pdae.num_samples


def test_a_second_run_does_only_what_is_missing(comparison: Comparison) -> None:
    root = Path(comparison.folder).parent
    lost = Candidate("gzsnet-0", "gzsnet", comparison.config, "gzsnet")
    storage.delete(storage.join(comparison.folder, lost.key, "finding.json"))
    before = times(root)
    Comparison(comparison.config).run()
    changed = {path for path, time in times(root).items() if before.get(path) != time}
    assert {path.parent.name for path in changed} == {"gzsnet-0", "compare"}
    assert {path.name for path in changed if path.parent.name == "compare"} == {"report.html", "results.json"}


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
    asked = ("The stages", "Last block of the GAE")

    def plan_some(config: PipelineConfig) -> list[Ablation]:
        return [ablation for ablation in plan_ablations(config) if ablation.question in asked]

    monkeypatch.setattr(candidates, "plan_ablations", plan_some)
    Comparison(comparison.config, with_ablations=True).run()
    found = json.loads(storage.read_bytes(storage.join(comparison.folder, "results.json")))["ablations"]
    assert {question: [study["name"] for study in studies] for question, studies in found.items()} == {
        "The stages": ["the config, stage 2", "stage 1 alone, its z_sem", "with stage 3"],
        "Last block of the GAE": ["the config, stage 2", "without a skip"],
    }
    divided = [study["figures"]["probe/is_divided"]["mean"] for study in found["The stages"]]
    assert divided == [1, 0, 1]  # stage 1 is judged by its undivided z_sem
    whole, varied = found["Last block of the GAE"]
    assert whole["figures"]["ppl/T2"] != varied["figures"]["ppl/T2"]
    assert "without a skip" in storage.read_bytes(storage.join(comparison.folder, "report.html")).decode()
