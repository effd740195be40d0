"""What a replica reports: each step once, also when another engine takes over."""

from collections import Counter as Tally

import pytest

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.engine import Engine
from diffusegae.editing.operations import Reconstruct
from serve.models.metrics import ReplicaMetrics
from tests.tiny import random_images


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Tally[str]:
    """The sums of all counters by name; there is no Ray here to take them."""
    sums: Tally[str] = Tally()
    monkeypatch.setattr(
        "ray.serve.metrics.Counter.inc", lambda self, value: sums.update({self.info["name"]: int(value)})
    )
    return sums


def work(engine: Engine) -> None:
    """Bring two pictures back, of which the second comes again."""
    for seed in (0, 1, 1):
        engine.submit(Reconstruct(random_images(1, seed=seed)), SamplingConfig(steps=4)).future.result(30)


def test_every_step_is_counted_once_whichever_engine_made_it(editor: Editor, told: Tally[str]) -> None:
    metrics = ReplicaMetrics()
    for _ in range(2):
        engine = Engine(editor, max_images=4, cache_bytes=10**6)
        metrics.report(engine)
        work(engine)
        metrics.report(engine)
        metrics.report(engine)
        engine.close()
    calls = 2 * (8 + 8 + 4)
    assert told == {
        "diffusegae_network_calls": calls,
        "diffusegae_image_steps": calls,
        "diffusegae_cache_hits": 2 * 2,
        "diffusegae_cache_misses": 2 * 4,
    }
