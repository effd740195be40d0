"""The image: what it copies exists and reaches the builder, it runs as the pods' user, one file makes both kinds."""

import re
from fnmatch import fnmatch

from tests.cluster.manifests import ROOT, pods

DOCKERFILE = (ROOT / "cluster" / "Dockerfile").read_text()
IGNORE = (ROOT / "cluster" / "Dockerfile.dockerignore").read_text().splitlines()


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()]


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    assert {"diffusegae", "jobs", "serve", "constraints.txt", "pyproject.toml"} <= set(copied())
    wanted = [line.removeprefix("!") for line in IGNORE if line.startswith("!")]
    assert "*" in IGNORE
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in wanted), f"{source} is kept from the builder"
    assert sorted(wanted) == sorted(copied()), "more is sent than the image needs"


def test_the_projects_readme_and_licence_are_there_for_its_build() -> None:
    """pyproject.toml names both; without them the project cannot be installed."""
    assert {"README.md", "LICENSE"} <= set(copied())


def test_it_runs_as_the_user_that_pods_name() -> None:
    (user,) = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"\d+:\d+", user), "runAsNonRoot cannot look names up"
    ours = [pod for pod in pods() if any("diffusegae:" in box["image"] for box in pod.containers)]
    assert len(ours) > 10
    contexts = {(pod.spec["securityContext"]["runAsUser"], pod.spec["securityContext"]["runAsGroup"]) for pod in ours}
    assert contexts == {tuple(int(part) for part in user.split(":"))}
    assert f"useradd --uid {user.partition(':')[0]} " in DOCKERFILE


def test_one_argument_chooses_the_device_and_a_wrong_one_is_refused() -> None:
    assert re.search(r"^ARG DEVICE=cpu$", DOCKERFILE, re.MULTILINE)
    branches = re.findall(r"^\s+(\S+)\) ", DOCKERFILE, re.MULTILINE)
    assert branches == ["cpu", "gpu", "*"]
    assert "exit 1" in DOCKERFILE


def test_jobs_start_in_the_folder_that_holds_them() -> None:
    """`python jobs/train.py` is relative to where `ray start` was called: the image's working folder."""
    (folder,) = re.findall(r"^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^COPY jobs jobs$", DOCKERFILE, re.MULTILINE)
    assert f"chown -R ray:ray {folder}" in DOCKERFILE
    assert not any("workingDir" in box for pod in pods() for box in pod.containers)
