"""The service as `make serve` starts it: registered models, Ray Serve, HTTP; another version put in while it works."""

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from diffusegae.checkpoint import read_meta, read_tensors, save_checkpoint
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.editor import Editor
from diffusegae.images import decode_image, encode_image
from diffusegae.pixels import to_pixels, to_tensor
from tests.serve.running import ROOT, RunningService, register, running_service

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
SOURCE, DONOR = (encode_image(pixels) for pixels in PIXELS)
FILES = {"source": ("s.png", SOURCE), "donors.colour": ("d.png", DONOR)}

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, config: PipelineConfig, checkpoint: Path
) -> Iterator[RunningService]:
    """Register three versions of which the first is champion and the third is broken, and serve the champion."""
    folder = tmp_path_factory.mktemp("service")
    weights = read_tensors(checkpoint, "ema")
    variants = [weights, {name: value * 1.1 for name, value in weights.items()}]
    variants.append({name: torch.full_like(value, float("nan")) for name, value in weights.items()})
    checkpoints = [folder / f"{number}" for number in range(len(variants))]
    for path, variant in zip(checkpoints, variants, strict=True):
        save_checkpoint(path, read_meta(checkpoint), {"ema": variant})
    tracking = register(config.model_copy(update={"storage": str(folder)}), checkpoints)
    with running_service(folder, tracking) as running:
        yield running


def post(service: RunningService, path: str, steps: int) -> httpx.Response:
    return httpx.post(f"{service.url}/v1/{path}", files=FILES, data={"steps": str(steps)}, timeout=60)


def test_the_registered_champion_edits_over_http(service: RunningService, editor: Editor) -> None:
    assert httpx.get(f"{service.url}/v1/health").json()["model"] == "diffusegae/1"
    assert "/v1/edit" in httpx.get(f"{service.url}/openapi.json").json()["paths"]
    page = httpx.get(service.url)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")

    response = post(service, "edit", 2)
    assert response.status_code == 200, response.text
    assert response.headers["x-model"] == "diffusegae/1"
    quick = editor.with_sampling(editor.sampling.model_copy(update={"steps": 2}))
    expected = quick.edit(to_tensor(PIXELS[:1]), {"colour": to_tensor(PIXELS[1:])})
    difference = decode_image(response.content).astype(int) - to_pixels(expected)[0]
    assert abs(difference).max() <= 1  # another number of threads may round otherwise

    wrong = httpx.post(f"{service.url}/v1/edit", files={"source": SOURCE, "donors.size": DONOR}, timeout=60)
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert "letter, colour" in wrong.json()["detail"]
    large = httpx.post(f"{service.url}/v1/encode", files={"source": b"x" * (21 * 2**20)}, timeout=60)
    assert large.status_code == 413
    foreign = httpx.get(f"{service.url}/v1/models", headers={"Host": "elsewhere.example"})
    assert foreign.status_code == 421


def test_prometheus_gets_what_the_board_shows(service: RunningService) -> None:
    assert post(service, "edit", 2).status_code == 200
    board = (ROOT / "cluster" / "kubernetes" / "monitoring" / "config" / "editor.json").read_text()
    wanted = set(re.findall(r"ray_diffusegae_\w+", board)) | {"ray_serve_deployment_replica_healthy"}
    deadline, lacking = time.monotonic() + 60, wanted
    while lacking and time.monotonic() < deadline:
        (found,) = httpx.get(f"{service.dashboard}/api/prometheus/sd").json()
        told = "".join(httpx.get(f"http://{target}/metrics").text for target in found["targets"])
        lacking = {name for name in wanted if f"\n{name}{{" not in told}
        time.sleep(1)
    assert len(wanted) > 4
    assert not lacking


def test_progress_comes_while_the_picture_is_made(service: RunningService) -> None:
    events = []
    headers = {"Accept": "text/event-stream"}
    with httpx.stream(
        "POST", f"{service.url}/v1/edit", files=FILES, data={"steps": "100"}, headers=headers, timeout=60
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    *progress, (last, done) = events
    assert {name for name, _ in progress} == {"progress"}
    steps = [event["step"] for _, event in progress]
    assert steps == sorted(steps)
    assert all(event["steps"] == 200 for _, event in progress)
    assert last == "done"
    assert base64.b64decode(done["images"][0]) == post(service, "edit", 100).content


def test_a_job_is_done_while_nobody_waits(service: RunningService) -> None:
    source = base64.b64encode(SOURCE).decode()
    body = {"operation": "reconstruct", "request": {"source": source, "steps": 20, "format": "webp", "size": 64}}
    begun = httpx.post(f"{service.url}/v1/jobs", json=body, timeout=60)
    assert begun.status_code == 202, begun.text
    links = begun.json()["links"]
    for _ in range(200):
        state = httpx.get(service.url + links["self"], timeout=60).json()
        if state["status"] == "done":
            break
        time.sleep(0.1)
    assert (state["status"], state["step"], state["steps"]) == ("done", 40, 40)
    picture = httpx.get(service.url + links["result"], timeout=60)
    assert picture.headers["content-type"] == "image/webp"
    assert decode_image(picture.content).shape == (64, 64, 3)
    assert httpx.delete(service.url + links["self"], timeout=60).status_code == 204
    assert httpx.get(service.url + links["self"], timeout=60).status_code == 404


def test_versions_are_swapped_under_load_and_a_broken_one_is_not_put_in(service: RunningService) -> None:
    """Every answer is wholly of one version: its picture is that version's own."""
    own = {"diffusegae/1": post(service, "edit", 4).content}
    answers: list[tuple[int, str, bytes]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client() as client:
            while not stop.is_set():
                response = client.post(f"{service.url}/v1/edit", files=FILES, data={"steps": "4"}, timeout=60)
                answers.append((response.status_code, response.headers.get("x-model", ""), response.content))

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        broken = service.rollout("--to", "3")
        assert broken.returncode == 2, broken.stderr
        assert "diffusegae/3 reconstructs a picture that is not finite" in broken.stderr
        forth = service.rollout("--to", "2")
        assert (forth.returncode, forth.stdout.strip()) == (0, "champion: diffusegae/2"), forth.stderr
        own["diffusegae/2"] = post(service, "edit", 4).content
        service.set_champion("1")
        back = service.rollout()
        assert (back.returncode, back.stdout.strip()) == (0, "champion: diffusegae/1"), back.stderr
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert own["diffusegae/1"] != own["diffusegae/2"]
    assert [answer for answer in answers if answer[0] != 200] == []
    assert {model for _, model, _ in answers} == {"diffusegae/1", "diffusegae/2"}
    for _, model, content in answers:
        difference = decode_image(content).astype(int) - decode_image(own[model])
        assert abs(difference).max() <= 1
