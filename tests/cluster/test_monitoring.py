"""Prometheus and Grafana: targets that exist, metrics that this Ray has, files mounted where they are read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from tests.cluster.manifests import KUBERNETES, ROOT, get, of_kind, pods

CONFIG = KUBERNETES / "monitoring" / "config"
DASHBOARDS = sorted(CONFIG.glob("*.json"))
METRIC = re.compile(r"\bray_[a-z0-9_]+(?=\{)")
OWN_LABELS = {"workload", "pod", "ray_cluster", "node_type"}


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CONFIG / name).read_text()))


def expressions(dashboard: Path) -> list[str]:
    return [target["expr"] for panel in json.loads(dashboard.read_text())["panels"] for target in panel["targets"]]


def test_prometheus_finds_every_ray_pod_and_no_other() -> None:
    (scrape,) = read("prometheus.yml")["scrape_configs"]
    (discovery,) = scrape["kubernetes_sd_configs"]
    assert discovery == {"role": "pod", "namespaces": {"names": ["diffusegae"]}}
    (keep,) = [rule for rule in scrape["relabel_configs"] if rule.get("action") == "keep"]
    for pod in pods():
        component = pod.labels["app.kubernetes.io/component"]
        names = [port["name"] for box in pod.containers for port in box.get("ports", ())]
        kept = [name for name in names if re.fullmatch(keep["regex"], f"{component};{name}")]
        assert kept == (["metrics"] if component == "ray" else []), pod.owner


def test_prometheus_may_look_for_pods() -> None:
    (rule,) = get("Role", "prometheus")["rules"]
    assert set(rule["verbs"]) == {"get", "list", "watch"}
    binding = get("RoleBinding", "prometheus")
    (pod,) = [pod for pod in pods() if pod.owner.endswith("StatefulSet/prometheus")]
    assert binding["subjects"][0]["name"] == pod.spec["serviceAccountName"]
    assert binding["roleRef"]["name"] == "prometheus"


def test_grafana_reads_that_prometheus() -> None:
    (source,) = read("datasource.yaml")["datasources"]
    services = {f"http://{s.name}:{entry['port']}" for s in of_kind("Service") for entry in s.content["spec"]["ports"]}
    assert source["url"] in services
    for path in DASHBOARDS:
        named = {panel["datasource"]["uid"] for panel in json.loads(path.read_text())["panels"]}
        assert named == {source["uid"]}


def test_files_are_mounted_where_they_are_read() -> None:
    (provider,) = read("dashboards.yaml")["providers"]
    assert provider["options"]["path"] in _mounts("Deployment", "grafana").values()
    assert _mounts("Deployment", "grafana")["grafana-datasources"] == "/etc/grafana/provisioning/datasources"
    assert _mounts("Deployment", "grafana")["grafana-providers"] == "/etc/grafana/provisioning/dashboards"
    (prometheus,) = get("StatefulSet", "prometheus")["spec"]["template"]["spec"]["containers"]
    folder = _mounts("StatefulSet", "prometheus")["prometheus-config"]
    assert f"--config.file={folder}/prometheus.yml" in prometheus["args"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_ask_for_metrics_that_ray_has(path: Path) -> None:
    """Ray's own dashboards are the list of its metrics' names; ours stand in serve/models/metrics.py."""
    own = Path(ray.__file__).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    known = {name for file in own.glob("*_panels.py") for name in re.findall(r"\bray_[a-z0-9_]+", file.read_text())}
    kinds = re.findall(
        r'(Counter|Gauge|Histogram)\(\s*"(diffusegae_\w+)"', (ROOT / "serve" / "models" / "metrics.py").read_text()
    )
    suffixes = {"Counter": "_total", "Gauge": "", "Histogram": "_bucket"}
    known |= {f"ray_{name}{suffixes[kind]}" for kind, name in kinds}
    asked = {name for expression in expressions(path) for name in METRIC.findall(expression)}
    assert len(asked) >= 6
    assert asked <= known
    assert "ray_serve_no_such_metric" not in known


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_select_by_labels_that_prometheus_sets(path: Path) -> None:
    (scrape,) = read("prometheus.yml")["scrape_configs"]
    assert {rule["target_label"] for rule in scrape["relabel_configs"] if "target_label" in rule} == OWN_LABELS
    assert all("workload" in expression for expression in expressions(path))
    panels = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels), "two panels lie on each other"


def test_the_dashboard_of_the_editor_looks_at_the_editor() -> None:
    (head,) = [pod for pod in pods() if pod.owner.endswith("RayService/editor head")]
    workload = head.labels["app.kubernetes.io/instance"]
    assert all(f'workload="{workload}"' in expression for expression in expressions(CONFIG / "editor.json"))


def _mounts(kind: str, name: str) -> dict[str, str]:
    """Return where each ConfigMap of a workload is mounted."""
    spec = get(kind, name)["spec"]["template"]["spec"]
    folders = {mount["name"]: mount["mountPath"] for box in spec["containers"] for mount in box["volumeMounts"]}
    return {volume["configMap"]["name"]: folders[volume["name"]] for volume in spec["volumes"] if "configMap" in volume}
