"""MLflow's system metrics: they arrive, go on after a restart, outlast an outage, and hold nobody up."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tracking import system_metrics
from diffusegae.tracking.runs import RunLogger, open_pipeline_run
from diffusegae.tracking.system_metrics import SystemMonitor

NAMES = {"cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_usage_percentage"}
NAMES |= {"network_receive_megabytes", "network_transmit_megabytes"}


def wait_for(done: Callable[[], object]) -> None:
    """Wait until something is so; a minute is enough on any machine."""
    for _ in range(1200):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("waited for a minute")


def steps_of(uri: str, run_id: str, name: str = "system/cpu_utilization_percentage") -> list[int]:
    history = MlflowClient(tracking_uri=uri).get_metric_history(run_id, name)
    return sorted(point.step for point in history)


def test_system_metrics_arrive_and_a_resumed_run_goes_on_with_them(uri: str, config: PipelineConfig) -> None:
    run_id = open_pipeline_run(uri, config)
    first = RunLogger(uri, run_id)
    first.watch_system(seconds=0.05)
    wait_for(lambda: len(steps_of(uri, run_id)) >= 2)
    first.log_metrics({"pretrain/loss": 0.5}, 10)
    first.close()
    metrics = MlflowClient(tracking_uri=uri).get_run(run_id).data.metrics
    assert {f"system/{name}" for name in NAMES} <= set(metrics)
    assert metrics["system/system_memory_usage_megabytes"] > 0
    assert metrics["pretrain/loss"] == 0.5

    before = steps_of(uri, run_id)
    second = RunLogger(uri, run_id)
    second.watch_system(seconds=0.05)
    wait_for(lambda: len(steps_of(uri, run_id)) > len(before))
    second.close()
    after = steps_of(uri, run_id)
    assert after == list(range(len(after)))  # every step once
    time.sleep(0.2)
    assert steps_of(uri, run_id) == after  # closed


def test_a_logger_that_was_not_asked_to_writes_no_system_metrics(uri: str, config: PipelineConfig) -> None:
    run_id = open_pipeline_run(uri, config)
    logger = RunLogger(uri, run_id)
    logger.log_metrics({"pretrain/loss": 0.5}, 10)
    logger.close()
    assert set(MlflowClient(tracking_uri=uri).get_run(run_id).data.metrics) == {"pretrain/loss"}


class FlakyClient:
    """A client of a server that is away for its first calls."""

    def __init__(self, inner: Any, failures: int) -> None:
        self.inner, self.failures = inner, failures

    def log_batch(self, **batch: Any) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise ConnectionError("away")
        self.inner.log_batch(**batch)


def test_sampling_outlasts_an_outage_and_tells_it_once(
    uri: str, config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = open_pipeline_run(uri, config)
    monitor = SystemMonitor(uri, run_id, seconds=0.05)
    writer = monitor.monitor.mlflow_logger
    writer.client = FlakyClient(writer.client, failures=3)
    with caplog.at_level(logging.WARNING, logger="diffusegae"):
        monitor.start()
        wait_for(lambda: len(steps_of(uri, run_id)) >= 5)
        monitor.stop()
    told = [record.getMessage() for record in caplog.records if record.name == system_metrics.__name__]
    assert told == ["system metrics wait until MLflow answers again: away"]
    assert steps_of(uri, run_id)[:5] == [0, 0, 0, 0, 1]  # what was sampled meanwhile arrived, too


def test_whoever_ends_it_does_not_wait_for_a_server_that_is_away(
    uri: str, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_metrics, "SECONDS_TO_STOP", 0.1)
    answers, asked = threading.Event(), threading.Event()

    class HangingClient:
        def log_batch(self, **_: Any) -> None:
            asked.set()
            answers.wait()

    monitor = SystemMonitor(uri, open_pipeline_run(uri, config), seconds=0.01)
    monitor.monitor.mlflow_logger.client = HangingClient()
    monitor.start()
    assert asked.wait(60)
    monitor.stop()
    assert monitor.thread.is_alive()
    answers.set()
    monitor.thread.join(60)
    assert not monitor.thread.is_alive()


def test_a_machine_that_cannot_be_read_trains_all_the_same(
    uri: str, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: object) -> None:
        raise OSError("no /proc")

    monkeypatch.setattr("mlflow.system_metrics.system_metrics_monitor.NetworkMonitor.__init__", fail)
    logger = RunLogger(uri, open_pipeline_run(uri, config))
    with caplog.at_level(logging.WARNING, logger="diffusegae"):
        logger.watch_system()
    assert "this run has no system metrics: no /proc" in caplog.text
    logger.close()
