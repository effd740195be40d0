"""Fixtures of all tests: one Ray cluster for the session, and storage to write to."""

import os
from collections.abc import Iterator

# Before anything imports Ray or torch.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_DATA_USE_DATASOURCE_V2", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import ray

pytest_plugins = ["tests.storage_server", "tests.stored_latents"]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Run one small Ray for all tests that need it; more logical CPUs than cores, else Train starves Data."""
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
        namespace="tests",
    )
    yield
    ray.shutdown()
