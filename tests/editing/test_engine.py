"""Continuous batching: the pictures that the editor makes alone, whatever else is in the batch; fair, cancellable."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.engine import Engine, EngineClosedError, RequestCancelledError, RequestHandle
from diffusegae.editing.method import Codes, Images
from diffusegae.editing.operations import (
    Calls,
    Edit,
    Encode,
    Generate,
    Interpolate,
    Invert,
    Operation,
    Recombine,
    Reconstruct,
)
from diffusegae.schema import AttributeSchema
from tests.tiny import random_images, smoke_config, tiny_model, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)
ONE, SHORT, LONG = (SamplingConfig(steps=steps) for steps in (1, 5, 100))
SOLVER = SamplingConfig(steps=10, sampler="dpm++")
LEVEL = 2 / 255  # of one grey level in [-1, 1]


class OneByOne(Editor):
    """Encodes images one at a time, as an engine does; the last bit of a code depends on the size of its batch."""

    def encode(self, images: Images) -> Codes:
        return torch.cat([super(OneByOne, self).encode(image) for image in images.split(1)])

    def sampled(self, sampling: SamplingConfig) -> Editor:
        return OneByOne(self.model, self.config, self.schema, self.device, sampling)


@pytest.fixture(scope="module")
def editor() -> OneByOne:
    config = smoke_config("model.unet.canvas=true")
    return OneByOne(tiny_model(config, SCHEMA), config, SCHEMA, sampling=SHORT)


@contextmanager
def running(editor: Editor, max_images: int = 8, cache_bytes: int = 0) -> Iterator[Engine]:
    engine = Engine(editor, max_images, cache_bytes)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Hold the engine at a step, so that what is submitted meanwhile starts together."""
    entered, release = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        entered.set()
        assert release.wait(30)

    def nothing(schema: AttributeSchema) -> Calls:
        return torch.zeros(1)
        yield

    request = engine.submit(Generate(torch.zeros(1, 24), torch.zeros(1, 3, 32, 32)), ONE, hold)
    assert entered.wait(30)
    yield
    engine.submit(Made(nothing), ONE).future.result(30)  # all before it wait for their first step
    release.set()
    request.future.result(30)


class Made(Invert):
    """An operation of other calls than there are."""

    def __init__(self, calls: Callable[[AttributeSchema], Calls]) -> None:
        object.__setattr__(self, "calls", calls)


def an_edit(seed: int) -> Edit:
    return Edit(random_images(1, seed=seed), {"b": random_images(1, seed=seed + 1000)})


def result_of(request: RequestHandle) -> Tensor:
    return request.future.result(60)


@pytest.mark.parametrize("sampling", [SHORT, SOLVER])
def test_a_request_alone_gets_the_editors_pictures_bit_for_bit(editor: OneByOne, sampling: SamplingConfig) -> None:
    source, target = random_images(1), random_images(1, seed=1)
    alone = editor.sampled(sampling)
    x_T = editor.noise([3])
    operations: list[Operation] = [
        an_edit(7),
        Reconstruct(source),
        Interpolate(source, target, SCHEMA.names, 3),
        Recombine({"a": source, "b": target, "c": source}, x_T),
        Generate(editor.encode(source), x_T),
        Invert(source),
    ]
    with running(editor) as engine:
        for operation in operations:
            assert torch.equal(result_of(engine.submit(operation, sampling)), alone.perform(operation))


def test_requests_that_share_calls_get_their_own_pictures(editor: OneByOne) -> None:
    samplings = [SHORT, SOLVER, SamplingConfig(steps=20), SHORT, SamplingConfig(steps=10, clip=False)]
    with running(editor, max_images=4) as engine:
        with held(engine):
            requests = [engine.submit(an_edit(seed), sampling) for seed, sampling in enumerate(samplings)]
        together = [result_of(request) for request in requests]
        mean_occupancy = engine.counters.steps / engine.counters.calls
    for seed, (sampling, image) in enumerate(zip(samplings, together, strict=True)):
        expected = editor.sampled(sampling).perform(an_edit(seed))
        assert float((image - expected).abs().max()) < LEVEL
    assert mean_occupancy > 2


def test_a_short_request_does_not_wait_for_a_long_one_and_the_long_one_goes_on(editor: OneByOne) -> None:
    seen: list[int] = []
    with running(editor, max_images=1) as engine:
        with held(engine):
            long = engine.submit(an_edit(0), LONG, on_progress=lambda step, _: seen.append(step))
            short = engine.submit(an_edit(1), SHORT)
        at_end: list[int] = []
        short.future.add_done_callback(lambda _: at_end.append(max(seen, default=0)))
        result_of(short)
        result_of(long)
    assert 8 <= at_end[0] <= 12  # by turns: ten calls for the short one, about as many for the long one meanwhile
    assert seen[-1] == 200


def test_many_pictures_get_one_requests_share(editor: OneByOne) -> None:
    steps: list[int] = []
    source, target = random_images(1), random_images(1, seed=1)
    with running(editor, max_images=4) as engine:
        with held(engine):
            many = engine.submit(Interpolate(source, target, ["a"], 16), SHORT)
            one = engine.submit(Reconstruct(source, [0]), SamplingConfig(steps=20))
            before = engine.counters.calls
        one.future.add_done_callback(lambda _: steps.append(engine.counters.calls - before))
        result_of(one)
        result_of(many)
    assert steps[0] <= 22


def test_a_source_that_comes_again_is_not_inverted_again(editor: OneByOne) -> None:
    source = random_images(1)
    edits = [Edit(source, {"a": random_images(1, seed=seed)}) for seed in (1, 2)]
    with running(editor, cache_bytes=10**6) as engine:
        first = result_of(engine.submit(edits[0], SHORT))
        calls = engine.counters.calls
        steps: list[int] = []
        again = result_of(engine.submit(edits[1], SHORT, on_progress=lambda step, _: steps.append(step)))
        assert (calls, engine.counters.calls - calls) == (10, 5)
        assert steps == [6, 7, 8, 9, 10]
        result_of(engine.submit(Reconstruct(source), SOLVER))
        assert engine.counters.calls == 15 + 20  # another sampler has another x_T
    assert torch.equal(first, editor.edit(source, {"a": random_images(1, seed=1)}))
    assert torch.equal(again, editor.edit(source, {"a": random_images(1, seed=2)}))


def test_only_the_noise_that_is_not_known_is_inferred(editor: OneByOne) -> None:
    source, target = random_images(1), random_images(1, seed=1)
    with running(editor, cache_bytes=10**6) as engine:
        result_of(engine.submit(Invert(source), SHORT))
        steps = engine.counters.steps
        between = Interpolate(source, target, SCHEMA.names, 2)
        pictures = result_of(engine.submit(between, SHORT))
        assert engine.counters.steps - steps == 5 + 2 * 5  # the target's noise, then two frames
    expected = torch.cat(editor.sampled(SHORT).interpolate(source, target, SCHEMA.names, 2))
    assert float((pictures - expected).abs().max()) < LEVEL


def test_progress_tells_steps_and_shows_pictures_once_they_are_made(editor: OneByOne) -> None:
    seen: list[tuple[int, bool]] = []
    with running(editor) as engine:
        result_of(engine.submit(an_edit(0), SHORT, lambda step, images: seen.append((step, images is not None))))
    assert seen == [(step, step > 5) for step in range(1, 11)]


def test_a_request_knows_how_long_its_stages_took(editor: OneByOne) -> None:
    with running(editor, cache_bytes=10**6) as engine:
        started = time.monotonic()
        request = engine.submit(an_edit(0), SHORT)
        result_of(request)
        took = time.monotonic() - started
        assert list(request.seconds) == ["Wait", "Encode", "InferNoise", "Generate"]
        assert 0 < sum(request.seconds.values()) <= took
        again = engine.submit(an_edit(0), SHORT)
        result_of(again)
        assert again.seconds["InferNoise"] < request.seconds["InferNoise"]


def test_a_cancelled_request_leaves_and_the_others_stay(editor: OneByOne) -> None:
    started = threading.Event()
    with running(editor, max_images=2) as engine:
        long = engine.submit(an_edit(0), LONG, on_progress=lambda *_: started.set())
        other = engine.submit(an_edit(1), LONG)
        assert started.wait(30)
        long.cancel()
        with pytest.raises(RequestCancelledError):
            result_of(long)
        assert engine.counters.calls < 200
        assert torch.isfinite(result_of(other)).all()
    assert engine.num_active == 0


def test_what_fails_fails_alone(editor: OneByOne) -> None:
    def broken(schema: AttributeSchema) -> Calls:
        yield Encode(random_images(1))
        raise ValueError("broken")

    with running(editor) as engine:
        with held(engine):
            good, bad = engine.submit(an_edit(0), SHORT), engine.submit(Made(broken), SHORT)
        with pytest.raises(ValueError, match="broken"):
            result_of(bad)
        assert torch.equal(result_of(good), editor.perform(an_edit(0)))


def test_a_callback_that_fails_fails_its_request_alone(editor: OneByOne) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("nobody listens")

    with running(editor) as engine:
        with held(engine):
            good, bad = engine.submit(an_edit(0), SHORT), engine.submit(an_edit(1), SHORT, broken)
        with pytest.raises(ValueError, match="nobody listens"):
            result_of(bad)
        assert torch.isfinite(result_of(good)).all()


def test_progress_is_reported_no_more_often_than_wanted(editor: OneByOne) -> None:
    seen: list[int] = []
    engine = Engine(editor, 8, 0, progress_seconds=60)
    result_of(engine.submit(an_edit(0), SHORT, lambda step, _: seen.append(step)))
    engine.close()
    assert seen == [1]


def test_a_failing_step_fails_its_requests_and_the_engine_goes_on(
    editor: OneByOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Tensor:
        raise RuntimeError("out of memory")

    with running(editor) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(editor.network, "denoise", fails)
            with pytest.raises(RuntimeError, match="out of memory"):
                result_of(engine.submit(an_edit(0), SHORT))
        assert torch.isfinite(result_of(engine.submit(an_edit(0), SHORT))).all()


def test_closing_finishes_what_was_taken_in(editor: OneByOne) -> None:
    engine = Engine(editor, 4, 0)
    requests = [engine.submit(an_edit(seed), SHORT) for seed in range(6)]
    engine.close()
    assert all(request.future.done() for request in requests)
    with pytest.raises(EngineClosedError):
        engine.submit(an_edit(0), SHORT)


def test_strength_goes_from_the_source_to_the_donor(editor: OneByOne) -> None:
    source, donor = random_images(1), random_images(1, seed=1)
    pictures = [editor.perform(Edit(source, {"a": donor}, {"a": strength})) for strength in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(pictures[0], editor.reconstruct(source), atol=1e-4, rtol=0)
    assert torch.equal(pictures[2], editor.edit(source, {"a": donor}))
    assert not torch.allclose(pictures[1], pictures[0], atol=1e-3)


def test_a_part_of_z_dis_is_as_good_a_donor_as_the_picture_it_came_from(editor: OneByOne) -> None:
    source, donor = random_images(2), random_images(1, seed=1)
    part = editor.encode(donor)[0, SCHEMA.slice_of("b")]
    by_part = editor.perform(Edit(source, {"b": part}))
    torch.testing.assert_close(by_part, editor.edit(source, {"b": donor.expand(2, -1, -1, -1)}))
    mixed = {"a": source, "b": part, "c": source}
    by_picture = {"a": source, "b": donor.expand(2, -1, -1, -1), "c": source}
    torch.testing.assert_close(editor.perform(Recombine(mixed, [1, 2])), editor.recombine(by_picture, [1, 2]))
