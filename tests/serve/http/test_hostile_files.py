import collections
import gc
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve.http.api import create_api
from serve.http.checks import Limits
from tests.serve.hostile_bodies import hostile_bodies
from tests.serve.hostile_files import PeakMemory, Verdict, hostile_files, send_body, send_file
from tests.serve.hostile_pictures import MAKERS, largest, progressive

COUNT = 10 * len(MAKERS)  # 2,000 are sent to a running service: see hostile_files.py
GROWTH = 1.2
# As in service, Pillow's warnings of odd pictures refuse none of them.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "RuntimeWarning")]


@pytest.fixture
def hostile_client(service: Any) -> TestClient:
    """Return a client of the API with its own limits, to which an error inside is an answer with status 500."""
    return TestClient(create_api(service, Limits()), raise_server_exceptions=False)


def faults_of(answers: Iterator[tuple[str, Verdict]], statuses: "collections.Counter[int]") -> list[str]:
    faults = []
    for where, verdict in answers:
        statuses[verdict.status] += 1
        if verdict.fault:
            faults.append(f"{where}: {verdict.fault}")
    return faults


def test_files_depend_on_seed_and_number_alone() -> None:
    def digests(count: int, seed: int) -> list[str]:
        return [hashlib.sha256(file.data).hexdigest() for file in hostile_files(count, seed)]

    first = digests(len(MAKERS), 0)
    assert digests(2 * len(MAKERS), 0)[: len(MAKERS)] == first
    assert digests(len(MAKERS), 1) != first


def test_hostile_files_get_a_picture_or_a_reason(hostile_client: TestClient) -> None:
    """They need no more memory than the largest honest picture does, and keep none of it."""
    statuses: collections.Counter[int] = collections.Counter()
    with PeakMemory() as honest:
        for data in largest():
            answer = hostile_client.post("/v1/reconstruct", files={"source": data}, data={"steps": "1"})
            assert answer.status_code == 200, answer.text
    gc.collect()  # what waits to be collected is not kept
    before = honest.now()
    faults: list[str] = []
    with PeakMemory() as hostile:
        for number, file in enumerate(hostile_files(COUNT)):
            faults += faults_of(send_file(hostile_client, file, number, "letter"), statuses)
    assert not faults
    assert set(statuses) <= {200, 400, 413, 422}
    assert min(statuses[200], statuses[413], statuses[422]) >= 10
    assert hostile.peak <= GROWTH * honest.peak
    gc.collect()
    assert hostile.now() <= GROWTH * before


def test_scans_of_a_jpeg_are_limited(hostile_client: TestClient) -> None:
    """Each scan is a pass over all pixels, and 20 MiB have room for 600,000 of them: hours of a core."""
    for scans, status in ((1, 200), (20_000, 422)):
        answer = hostile_client.post("/v1/encode", files={"source": progressive(64, scans)})
        assert answer.status_code == status, answer.text


def test_hostile_bodies_get_a_reason(hostile_client: TestClient) -> None:
    statuses: collections.Counter[int] = collections.Counter()
    faults = [
        f"{name}: {fault}"
        for name, body, content_type in hostile_bodies()
        for fault in faults_of(send_body(hostile_client, body, content_type), statuses)
    ]
    assert not faults
