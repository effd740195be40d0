"""The deployment files as data: every Kubernetes object, every pod that comes of it, settings and entry points."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "cluster" / "kubernetes"
RAY_UP = ROOT / "ray_cluster.yaml"
RAY_KINDS = {"RayCluster", "RayJob", "RayService"}
RAY_SPECS = {"RayCluster": (), "RayJob": ("rayClusterSpec",), "RayService": ("rayClusterConfig",)}

Document = dict[str, Any]


class Manifest(NamedTuple):
    """One object of one file."""

    path: Path
    content: Document

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        return str(self.content["metadata"]["name"])

    @property
    def label(self) -> str:
        return f"{self.path.relative_to(KUBERNETES)}:{self.kind}/{self.name}"


class Pod(NamedTuple):
    """A pod template, with the labels that KubeRay adds to it."""

    owner: str
    labels: Mapping[str, str]
    spec: Document
    template: Document

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


def deployment_files() -> list[Path]:
    """Return all files that make up the deployment, the texts among them."""
    found = [path for path in (ROOT / "cluster").rglob("*") if path.is_file()]
    return sorted([RAY_UP, *found])


@lru_cache(maxsize=1)
def manifests() -> tuple[Manifest, ...]:
    """Read every object that is applied as it stands."""
    paths = [
        path
        for path in sorted(KUBERNETES.rglob("*.yaml"))
        if path.name != "kustomization.yaml" and path.parent.name != "config"
    ]
    return tuple(
        Manifest(path, document)
        for path in paths
        for document in yaml.safe_load_all(path.read_text())
        if document is not None
    )


def of_kind(*kinds: str) -> list[Manifest]:
    """Return the objects of some kinds."""
    return [manifest for manifest in manifests() if manifest.kind in kinds]


def get(kind: str, name: str) -> Document:
    """Return a copy of the one object of a kind and name, which a test may break."""
    (found,) = [manifest for manifest in of_kind(kind) if manifest.name == name]
    return deepcopy(found.content)


def ray_cluster_spec(content: Document) -> Document:
    """Return the cluster of a RayCluster, RayJob or RayService."""
    spec: Document = content["spec"]
    for key in RAY_SPECS[content["kind"]]:
        spec = spec[key]
    return spec


def pods() -> list[Pod]:
    """Return every pod template of every object."""
    return [pod for manifest in manifests() for pod in _pods_of(manifest)]


def settings() -> dict[str, str]:
    """Return the environment that settings.yaml gives to pods."""
    return {key: str(value) for key, value in get("ConfigMap", "settings")["data"].items()}


def command_of(job: Document) -> list[str]:
    """Return a RayJob's entry point as the submitter's shell expands it."""
    environment = settings()
    text = re.sub(r"\$(\w+)", lambda match: environment[match[1]], job["spec"]["entrypoint"])
    return shlex.split(text)


def crd_folder() -> Path:
    """Return where KubeRay's CRDs are: KUBERAY_CRDS, or beside the project."""
    return Path(os.environ.get("KUBERAY_CRDS") or ROOT.parent / "shared" / "kuberay")


def _pods_of(manifest: Manifest) -> Iterator[Pod]:
    content = manifest.content
    if manifest.kind in RAY_KINDS:
        cluster = ray_cluster_spec(content)
        yield _pod(manifest, "head", cluster["headGroupSpec"]["template"], {"ray.io/node-type": "head"})
        for group in cluster["workerGroupSpecs"]:
            added = {"ray.io/node-type": "worker", "ray.io/group": group["groupName"]}
            yield _pod(manifest, group["groupName"], group["template"], added)
        if "submitterPodTemplate" in content["spec"]:
            yield _pod(manifest, "submitter", content["spec"]["submitterPodTemplate"], {})
    elif "template" in content.get("spec", {}):
        yield _pod(manifest, "", content["spec"]["template"], {})


def _pod(manifest: Manifest, role: str, template: Document, added: Mapping[str, str]) -> Pod:
    labels = {**template["metadata"]["labels"], **added}
    return Pod(f"{manifest.label} {role}".strip(), labels, template["spec"], template)
