"""MLflow's system metrics of a run: CPU, memory, disk, network and NVIDIA GPUs of the machine that trains."""

import logging
import threading
from typing import Any

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAMPLES, SECONDS_TO_STOP = 10.0, 5.0


class SystemMonitor:
    """Writes MLflow's `system/*` to a run from a thread, after its last step if it has some; GPUs need nvidia-ml-py.

    MLflow's own thread asks for the whole run with each sample, ends for good when the server is away once, and makes
    whoever stops it wait for the server's return. This one keeps its samples until the server is back, and nobody
    waits for it. MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL overrides the seconds.
    """

    def __init__(self, uri: str, run_id: str, seconds: float = SECONDS_BETWEEN_SAMPLES) -> None:
        self.monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
            run_id, sampling_interval=seconds, resume_logging=True, tracking_uri=uri
        )
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._sample, name="system-metrics", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self.thread.start()

    def stop(self) -> None:
        """End sampling; a thread that waits for a server that is away is left to end by itself."""
        self._stopped.set()
        self.thread.join(SECONDS_TO_STOP)

    def _sample(self) -> None:
        monitor, is_away = self.monitor, False
        monitor.monitors[0].collect_metrics()  # CPU time is counted from call to call, so the first says nothing
        monitor.monitors[0].clear_metrics()
        while not self._stopped.wait(monitor.sampling_interval):
            try:
                monitor.collect_metrics()
                monitor.publish_metrics(monitor.aggregate_metrics())
                is_away = False
            except Exception as error:  # nothing that happens here may end training
                if not is_away:
                    logger.warning("system metrics wait until MLflow answers again: %s", error)
                is_away = True
