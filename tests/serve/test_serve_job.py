"""The service as `make serve` starts it: a registered model, Ray Serve, HTTP."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.editor import Editor
from diffusegae.images import decode_image, encode_image, to_pixels, to_tensor
from diffusegae.tracking.registry import register_model
from diffusegae.tracking.runs import open_pipeline_run, tracking_uri
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
LOCAL_RAY = {
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy test machine starts processes slowly
}
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, config: PipelineConfig, checkpoint: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    stored = config.model_copy(update={"storage": str(folder)})
    uri = tracking_uri(stored)
    register_model(uri, open_pipeline_run(uri, stored), checkpoint, stored)
    port = free_port()
    command = [sys.executable, "-m", "jobs.serve", "--config", "smoke", "--tracking-uri", uri, "--port", str(port)]
    environment = {**os.environ, **LOCAL_RAY, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(120)


def wait_until_healthy(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(360):
        try:
            if httpx.get(f"{address}/v1/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()
        time.sleep(0.5)
    raise AssertionError(f"the service did not come up:\n{log.read_text()}")


@pytest.mark.e2e
def test_the_registered_champion_edits_over_http(address: str, editor: Editor) -> None:
    assert httpx.get(f"{address}/v1/health").json()["model"] == "diffusegae/1"
    assert "/v1/edit" in httpx.get(f"{address}/openapi.json").json()["paths"]

    source, donor = (encode_image(pixels) for pixels in PIXELS)
    files = {"source": ("s.png", source), "donors.colour": ("d.png", donor)}
    response = httpx.post(f"{address}/v1/edit", files=files, data={"steps": "2"}, timeout=60)
    assert response.status_code == 200, response.text
    assert response.headers["x-model"] == "diffusegae/1"
    quick = editor.with_sampling(editor.sampling.model_copy(update={"steps": 2}))
    expected = quick.edit(to_tensor(PIXELS[:1]), {"colour": to_tensor(PIXELS[1:])})
    difference = decode_image(response.content).astype(int) - to_pixels(expected)[0]
    assert abs(difference).max() <= 1  # another number of threads may round otherwise

    wrong = httpx.post(f"{address}/v1/edit", files={"source": source, "donors.size": donor}, timeout=60)
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert "letter, colour" in wrong.json()["detail"]
    large = httpx.post(f"{address}/v1/encode", files={"source": b"x" * (21 * 2**20)}, timeout=60)
    assert large.status_code == 413
