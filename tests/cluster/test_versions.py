"""One version of everything: project, Ray, Python and torch, in the project's files, the image and the manifests."""

import platform
import re
import tomllib
from importlib.metadata import version
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.cluster.manifests import RAY_UP, ROOT, Manifest, deployment_files, of_kind, pods, ray_cluster_spec

DOCKERFILE = (ROOT / "cluster" / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
TAG = re.compile(r"/diffusegae:(?P<tag>[\w.-]+)")
EXPECTED = {f"{PROJECT['version']}-ray{PINNED['ray']}-{device}" for device in ("cpu", "gpu")}


def test_our_image_has_one_tag_per_device_everywhere() -> None:
    found = {
        path.relative_to(ROOT): {match["tag"] for match in TAG.finditer(path.read_text())}
        for path in deployment_files()
    }
    tagged = {path: tags for path, tags in found.items() if tags}
    assert all(tags <= EXPECTED for tags in tagged.values()), tagged
    names = {str(path) for path in tagged}
    assert {"ray_cluster.yaml", "cluster/Dockerfile", "cluster/README.md", "cluster/kubernetes/mlflow.yaml"} <= names
    assert set().union(*tagged.values()) == EXPECTED


def test_every_image_is_pinned_and_ours_is_one_name() -> None:
    images = {container["image"] for pod in pods() for container in pod.containers}
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name, f"{image} has no tag"
        assert re.search(r"\d+\.\d+", tag), f"{image} is not pinned"
    ours = {image.rpartition(":")[0] for image in images if "diffusegae" in image}
    assert len(ours) == 1
    assert f"image: {ours.pop()}:" in RAY_UP.read_text()


@pytest.mark.parametrize("manifest", of_kind("RayCluster", "RayJob", "RayService"), ids=lambda manifest: manifest.label)
def test_ray_is_the_pinned_one(manifest: Manifest) -> None:
    assert ray_cluster_spec(manifest.content)["rayVersion"] == PINNED["ray"] == version("ray")


def test_the_image_installs_by_the_constraints() -> None:
    """No version stands in the Dockerfile but Python's; and every installation is held to constraints.txt."""
    assert not re.search(r"[\w-]+==[\d.]+", DOCKERFILE)
    installs = re.findall(r"pip install ([^\\\n;]+)", DOCKERFILE)
    assert len(installs) == 5
    for install in installs:
        assert "--constraint constraints.txt" in install or install.strip() == "--no-deps --editable ."
    assert version("torch").partition("+")[0] == PINNED["torch"]


def test_what_is_pinned_is_what_the_project_admits() -> None:
    pins = {canonicalize_name(name): pin for name, pin in PINNED.items()}
    for line in PROJECT["dependencies"]:
        requirement = Requirement(line)
        pinned = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{line} does not admit {pinned}"


def test_what_the_image_adds_agrees_with_the_constraints() -> None:
    lines = (ROOT / "cluster" / "requirements.txt").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            name, _, pin = line.partition("==")
            assert pin == PINNED[name] if pin and name in PINNED else pin or name in PINNED, f"{line} is not pinned"


def test_the_project_admits_the_pythons_of_the_image_of_make_and_of_here() -> None:
    (image,) = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", DOCKERFILE, re.MULTILINE)
    (make,) = re.findall(r"^PYTHON \?= python(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    admitted = SpecifierSet(PROJECT["requires-python"])
    assert all(admitted.contains(python) for python in (image, make, platform.python_version()))
    assert image.rpartition(".")[0] == make
    assert [minor for minor in range(20) if admitted.contains(f"3.{minor}")] == [11, 12, 13]


def test_mlflow_serves_its_clients_version() -> None:
    """The server runs in our image, and the constraints pin the one mlflow in it."""
    (image,) = {box["image"] for pod in pods() if pod.owner.endswith("Deployment/mlflow") for box in pod.containers}
    assert TAG.search(image)
    assert PINNED["mlflow"] == PINNED["mlflow-skinny"] == version("mlflow")
