"""Metrics of a model replica for Prometheus, through Ray: stages of requests, the engine's calls, the cache.

Ray puts `ray_` before the names, and the deployment and replica into the labels.
"""

import asyncio
from collections.abc import Callable, Mapping

from ray.serve.metrics import Counter, Gauge, Histogram

from diffusegae.editing.engine import Engine

REPORT_SECONDS = 5.0
BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]


class ReplicaMetrics:
    """The metrics of one replica."""

    def __init__(self) -> None:
        self.stage = Histogram(
            "diffusegae_stage_seconds",
            description="Time of a request in a stage: Wait, Encode, InferNoise, Generate.",
            boundaries=BOUNDARIES,
            tag_keys=("stage",),
        )
        self._counters = (
            Counter("diffusegae_network_calls", description="Calls of the network."),
            Counter("diffusegae_image_steps", description="Denoising steps of images, all calls together."),
            Counter("diffusegae_cache_hits", description="Codes and noise that were found in the cache."),
            Counter("diffusegae_cache_misses", description="Codes and noise that were not."),
        )
        self.active = Gauge("diffusegae_active_requests", description="Requests in the engine.")
        self.cached = Gauge("diffusegae_cache_bytes", description="Bytes in the cache.")
        self._engine: Engine | None = None
        self._seen: list[int] = []

    def count_request(self, seconds: Mapping[str, float]) -> None:
        """Count how long the stages of a request took that has ended."""
        for stage, value in seconds.items():
            self.stage.observe(value, tags={"stage": stage})

    async def keep_reporting(self, engine: Callable[[], Engine]) -> None:
        """Report the engine that is at work now, every few seconds until cancelled."""
        while True:
            self.report(engine())
            await asyncio.sleep(REPORT_SECONDS)

    def report(self, engine: Engine) -> None:
        """Report what the engine has done since the last time, and what it holds."""
        cache, done = engine.cache, engine.counters
        totals = [done.calls, done.steps, cache.hits, cache.misses]
        seen = self._seen if engine is self._engine else [0] * len(totals)
        for counter, total, before in zip(self._counters, totals, seen, strict=True):
            if total > before:
                counter.inc(total - before)
        self._engine, self._seen = engine, totals
        self.active.set(engine.num_active)
        self.cached.set(cache.num_bytes)
