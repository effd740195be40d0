"""Every object against the schemas of Kubernetes and KubeRay, unknown fields refused; and what kustomize makes."""

import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cluster import schemas
from tests.cluster.manifests import KUBERNETES, RAY_KINDS, Manifest, Pod, crd_folder, get, manifests, pods

CORE = [manifest for manifest in manifests() if manifest.kind not in RAY_KINDS]
CUSTOM = [manifest for manifest in manifests() if manifest.kind in RAY_KINDS]
KUBECTL_SECONDS = 60


@pytest.fixture(scope="module")
def crds() -> Path:
    folder = crd_folder()
    if not folder.is_dir():
        pytest.skip(f"KubeRay's CRDs are not at {folder}; set KUBERAY_CRDS to a folder with ray.io_rayclusters.yaml …")
    return folder


@pytest.mark.parametrize("version", [schemas.OLDEST, schemas.NEWEST])
@pytest.mark.parametrize("manifest", CORE, ids=lambda manifest: manifest.label)
def test_kubernetes_knows_every_field(manifest: Manifest, version: str) -> None:
    schemas.check_core(manifest.content, version)


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod.owner)
def test_kubernetes_knows_every_field_of_every_pod(pod: Pod) -> None:
    """KubeRay's CRDs leave out some of what the API server asks of a pod."""
    metadata = {"name": "pod", "namespace": "diffusegae"}
    schemas.check_core({"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": pod.template})


@pytest.mark.parametrize("manifest", CUSTOM, ids=lambda manifest: manifest.label)
def test_kuberay_knows_every_field(manifest: Manifest, crds: Path) -> None:
    schemas.check_custom(manifest.content, crds)


def test_there_is_one_of_each() -> None:
    kinds = {manifest.label for manifest in CUSTOM}
    assert kinds == {
        "raycluster-dev.yaml:RayCluster/dev",
        "rayjob-ingest.yaml:RayJob/ingest",
        "rayjob-train.yaml:RayJob/train",
        "rayjob-tune.yaml:RayJob/tune",
        "rayservice.yaml:RayService/editor",
    }


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("spec", "backofLimit"), 3),
        (("spec", "activeDeadlineSeconds"), "tomorrow"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "password"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplica"), 3),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "serviceAcountName"), "x"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "resources", "limit"), {}),
        (("metadata", "lables"), {}),
        (("metadata", "name"), "Train_1"),
    ],
)
def test_kuberay_refuses_a_misspelt_key_or_wrong_value(place: tuple[Any, ...], value: object, crds: Path) -> None:
    job = get("RayJob", "train")
    _put(job, place, value)
    with pytest.raises(jsonschema.ValidationError):
        schemas.check_custom(job, crds)


def test_kuberay_refuses_a_missing_field(crds: Path) -> None:
    service = get("RayService", "editor")
    del service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    with pytest.raises(jsonschema.ValidationError, match="required"):
        schemas.check_custom(service, crds)


@pytest.mark.parametrize(
    ("kind", "name", "place", "value"),
    [
        ("Deployment", "mlflow", ("spec", "replica"), 2),
        ("Deployment", "mlflow", ("spec", "replicas"), "x"),
        ("StatefulSet", "redis", ("spec", "template", "spec", "containers", 0, "readynessProbe"), {}),
        ("NetworkPolicy", "redis", ("spec", "ingres"), []),
    ],
)
def test_kubernetes_refuses_a_misspelt_key_or_wrong_value(
    kind: str, name: str, place: tuple[Any, ...], value: object
) -> None:
    broken = get(kind, name)
    _put(broken, place, value)
    with pytest.raises(jsonschema.ValidationError):
        schemas.check_core(broken)


def test_closing_spares_what_keeps_unknown_fields_and_fields_that_are_called_properties() -> None:
    inner = {"type": "object", "properties": {"properties": {"type": "object", "properties": {"a": {}}}}}
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"b": {}}}
    mapping = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = {"type": "object", "properties": {"inner": inner, "kept": kept, "mapping": mapping}}
    before = deepcopy(schema)
    validator = jsonschema.Draft202012Validator(schemas.close(schema))
    assert schema == before
    good = {"inner": {"properties": {"a": 1}}, "kept": {"other": 1}, "mapping": {"any": "text"}}
    assert validator.is_valid(good)
    bad: list[dict[str, Any]] = [
        {"inner": {"properties": {"c": 1}}},
        {"inner": {"c": 1}},
        {"c": 1},
        {"mapping": {"any": 1}},
    ]
    assert not any(validator.is_valid(document) for document in bad)


@pytest.mark.parametrize("path", sorted(KUBERNETES.rglob("kustomization.yaml")), ids=lambda path: path.parent.name)
def test_kustomizations_name_files_that_exist_and_miss_none(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    named = set(content["resources"])
    files = {entry.name for entry in path.parent.glob("*.yaml") if not entry.name.startswith(("kustomization", "ray"))}
    folders = {entry.parent.name for entry in path.parent.glob("*/kustomization.yaml")}
    assert named == files | folders
    generated = [file for generator in content.get("configMapGenerator", ()) for file in generator["files"]]
    assert sorted(generated) == sorted(str(file.relative_to(path.parent)) for file in path.parent.glob("config/*"))


def test_kustomize_builds_the_platform() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed; it builds the kustomization without a cluster")
    built = list(_kustomize(KUBERNETES))
    for document in built:
        schemas.check_core(document)
    names = {(document["kind"], document["metadata"]["name"].rsplit("-", 1)[0]) for document in built}
    assert ("ConfigMap", "grafana-dashboards") in names
    assert {document["metadata"].get("namespace", "diffusegae") for document in built} == {"diffusegae"}
    generated = {document["metadata"]["name"] for document in built if document["kind"] == "ConfigMap"}
    assert _config_maps_used(built) <= generated, "a volume names a ConfigMap that is not there"


def _kustomize(folder: Path) -> Iterator[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=True)
    yield from yaml.safe_load_all(done.stdout)


def _config_maps_used(documents: list[dict[str, Any]]) -> set[str]:
    volumes = [
        volume
        for document in documents
        if document["kind"] in {"Deployment", "StatefulSet"}
        for volume in document["spec"]["template"]["spec"].get("volumes", ())
    ]
    return {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}


def _put(document: dict[str, Any], place: tuple[Any, ...], value: object) -> None:
    node: Any = document
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
