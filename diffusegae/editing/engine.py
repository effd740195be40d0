"""Continuous batching: the edit operations of many requests share every call of the network.

A request waits, runs and finishes. Each of its images is a sample with its own timestep, path and sampler, which joins
at the next step and leaves when it is finished. A call of the network takes at most `max_images` samples, chosen by
start-time fair queueing over requests: those that have had the least of the network go first, and a new request starts
level with the least served one. So a short request does not wait for a long one to end, a long one is never starved,
and one that asks for many pictures at once gets no more than its share.

Between its steps an operation is resumed: pictures are encoded, conditions made. One thread takes the steps, and
resumes operations when it has no steps to take; while it has, a second one resumes them, so that the network never
waits for an encoder. A request belongs to one of the two at a time. Any thread may call `submit` and `cancel`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import is_not

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.diffusion.process import predict_eps
from diffusegae.diffusion.samplers import SAMPLERS, SamplerName
from diffusegae.diffusion.trajectory import Transition, inversion_path, levels_of, sampling_path
from diffusegae.editing.cache import TensorCache, content_key
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Codes, Images
from diffusegae.editing.operations import Calls, Encode, Generate, InferNoise, ModelCall, Operation
from diffusegae.editing.pace import Pace
from diffusegae.models.unet import Condition

logger = logging.getLogger(__name__)

# Called by the engine after a step: network calls that the slowest image has had, and the estimates of x_0 while
# pictures are generated (None while noise is inferred). It must be quick; a request whose callback raises has failed.
OnProgress = Callable[[int, Images | None], None]


@dataclass(eq=False)
class Sample:
    """One image on its path, and its place among the images of the model call that it belongs to."""

    request: "RequestHandle"
    index: int
    path: Sequence[Transition]
    condition: Condition
    x: Float[Tensor, "3 height width"]
    x_0_hat: Float[Tensor, "3 height width"]
    position: int = 0

    @property
    def is_finished(self) -> bool:
        """True at the end of the path."""
        return self.position == len(self.path)


@dataclass(eq=False)
class RequestHandle:
    """A submitted operation: its result to come, and how much of the network it has had."""

    calls: Calls
    sampling: SamplingConfig
    on_progress: OnProgress | None
    future: "Future[Tensor]" = field(default_factory=Future)
    call: ModelCall | None = None
    results: list[Tensor | None] = field(default_factory=list)  # of the call, an image each
    samples: list[Sample] = field(default_factory=list)  # the images among them that need steps
    served: float = 0.0  # its place in the order of turns
    steps_before: int = 0  # network calls of the model calls that are answered
    reported_at: float = 0.0  # when its progress was reported last
    is_cancelled: bool = False
    seconds: dict[str, float] = field(default_factory=dict)  # by stage: Wait, then the names of the model calls
    since: float = field(default_factory=time.monotonic)

    @property
    def step(self) -> int:
        """Network calls that the slowest image has had so far."""
        return self.steps_before + min((sample.position for sample in self.samples), default=0)

    def end_stage(self) -> None:
        """Count the time since the stage before to the one that ends now."""
        now, stage = time.monotonic(), "Wait" if self.call is None else type(self.call).__name__
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.since
        self.since = now

    def cancel(self) -> None:
        """Cancel the request; its samples leave before the next step."""
        self.is_cancelled = True


@dataclass
class Counters:
    """Totals since an engine began; the engine's thread writes, others read."""

    calls: int = 0  # of the network
    steps: int = 0  # images times calls


class EngineClosedError(RuntimeError):
    """The engine takes no more requests."""


class RequestCancelledError(RuntimeError):
    """The request was cancelled."""


class Engine:
    """Performs operations with an editor's model; results are on the editor's device.

    Args:
        editor: the model and its device; each request brings its own sampling.
        max_images: samples per call of the network.
        cache_bytes: memory for z_dis and x_T of images that come again.
        progress_seconds: least time between two reports of a request's progress.
    """

    def __init__(self, editor: Editor, max_images: int, cache_bytes: int, progress_seconds: float = 0.0) -> None:
        self.editor, self.max_images, self.progress_seconds = editor, max_images, progress_seconds
        self.cache, self.counters = TensorCache(cache_bytes), Counters()
        self._changed = threading.Condition()
        self._to_resume: deque[Callable[[], None]] = deque()  # operations that can go on
        self._waiting: deque[RequestHandle] = deque()  # with samples that wait to join
        self._running: list[RequestHandle] = []  # with samples that have joined
        self._num_open, self._level, self._is_closing = 0, 0.0, False
        self._pace = Pace(editor.device)
        self._stacked: tuple[list[Condition], Condition | None] = ([], None)  # conditions of the last call
        self._threads = (
            threading.Thread(target=self._run, name="denoise", daemon=True),
            threading.Thread(target=self._resume_beside, name="resume", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    @property
    def num_active(self) -> int:
        """Requests that were taken in and have not ended."""
        return self._num_open

    def submit(
        self, operation: Operation, sampling: SamplingConfig, on_progress: OnProgress | None = None
    ) -> RequestHandle:
        """Take a request in; its samples join at the next step. The handle's future gets the operation's result.

        Raises:
            EngineClosedError: the engine takes no more requests.
        """
        request = RequestHandle(operation.calls(self.editor.schema), sampling, on_progress)
        request.future.set_running_or_notify_cancel()  # it is cancelled by its handle, not by its future
        with self._changed:
            if self._is_closing:
                raise EngineClosedError("this engine is closed; send the request to the one that took its place")
            self._num_open += 1
            self._to_resume.append(partial(self._resume, request))
            self._changed.notify_all()
        return request

    def close(self) -> None:
        """Take no more requests, finish those that were taken in, and end the threads."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while self._admit():
            if not self._running:
                self._resume_next()
                continue
            samples = self._choose()
            if samples:
                try:
                    self._advance(samples)
                except Exception as error:  # the requests fail, the engine goes on
                    logger.exception("a step of %d images failed", len(samples))
                    for request in {sample.request: None for sample in samples}:
                        self._drop(request, error)
            self._settle()

    @torch.inference_mode()
    def _resume_beside(self) -> None:
        while True:
            with self._changed:
                while not (self._to_resume and self._running) and not self._is_done():
                    self._changed.wait()
                if self._is_done():
                    return
            self._resume_next()

    def _resume_next(self) -> None:
        with self._changed:
            resume = self._to_resume.popleft() if self._to_resume else None
        if resume is not None:
            resume()

    def _is_done(self) -> bool:
        return self._is_closing and not self._num_open

    def _admit(self) -> bool:
        """Run the requests that wait, and block while there is nothing to do; False when all is finished and closed.

        A request starts level with the least served, so that none saves turns up while others run.
        """
        with self._changed:
            while not (self._waiting or self._running or self._to_resume or self._is_done()):
                self._changed.wait()
            for request in self._waiting:
                request.served = max(request.served, self._level)
            self._running += self._waiting
            self._waiting.clear()
            if self._running and self._to_resume:
                self._changed.notify_all()
            return not self._is_done()

    def _choose(self) -> list[Sample]:
        """Return the samples of the next call: in turns, the least served request first."""
        waiting = {request: deque(f for f in request.samples if not f.is_finished) for request in self._running}
        self._level = min(request.served for request in self._running)
        chosen: list[Sample] = []
        while len(chosen) < self.max_images:
            ready = [request for request, samples in waiting.items() if samples and not request.is_cancelled]
            if not ready:
                break
            request = min(ready, key=lambda each: each.served)
            chosen.append(waiting[request].popleft())
            request.served += 1.0
        return chosen

    def _advance(self, samples: Sequence[Sample]) -> None:
        """Advance samples by one step each, with one call of the network."""
        samples = sorted(samples, key=_rule)  # those of one rule are neighbours
        x, x_0_hat = (torch.stack(images) for images in zip(*((each.x, each.x_0_hat) for each in samples), strict=True))
        levels = levels_of([sample.path[sample.position] for sample in samples], x)
        prediction = self.editor.network.denoise(x, levels.t, self._stack([each.condition for each in samples]))
        eps = predict_eps(prediction, x, levels.t, self.editor.schedule, self.editor.config.diffusion.prediction)
        place = 0
        for (sampler, clip), mine in groupby(samples, _rule):
            group = list(mine)
            rows = slice(place, place + len(group))
            moved, estimates = SAMPLERS[sampler].advance(x[rows], eps[rows], x_0_hat[rows], levels[rows], clip)
            for sample, image, estimate in zip(group, moved, estimates, strict=True):
                sample.x, sample.x_0_hat = image, estimate
                sample.position += 1
            place = rows.stop
        self._pace.step()
        self.counters.calls += 1
        self.counters.steps += len(samples)

    def _stack(self, conditions: list[Condition]) -> Condition:
        """Return conditions as one batch, the very one of the call before if they are the same."""
        known, stacked = self._stacked
        if stacked is None or len(known) != len(conditions) or any(map(is_not, known, conditions)):
            stacked = Condition.stack(conditions)
            self._stacked = conditions, stacked
        return stacked

    def _settle(self) -> None:
        """Report the progress of requests, resume those whose samples are all finished, and drop the cancelled."""
        for request in list(self._running):
            if request.is_cancelled:
                self._drop(request, _cancelled())
                continue
            try:
                self._report(request)
            except Exception as error:  # of the caller: this request fails, the engine goes on
                logger.exception("a request's callback failed")
                self._drop(request, error)
                continue
            if all(sample.is_finished for sample in request.samples):
                self._running.remove(request)
                with self._changed:
                    self._to_resume.append(partial(self._resume, request, is_finished=True))
                    self._changed.notify_all()

    def _report(self, request: RequestHandle) -> None:
        now = time.monotonic()
        if request.on_progress is None or now - request.reported_at < self.progress_seconds:
            return
        request.reported_at = now
        is_picture = isinstance(request.call, Generate)
        request.on_progress(
            request.step, torch.stack([sample.x_0_hat for sample in request.samples]) if is_picture else None
        )

    def _drop(self, request: RequestHandle, error: Exception) -> None:
        self._running.remove(request)
        self._end(request, error)

    def _finish_call(self, request: RequestHandle) -> Tensor:
        """Return the result of a model call whose samples are finished; noise that was inferred is kept."""
        for sample in request.samples:
            request.results[sample.index] = sample.x
            if isinstance(request.call, InferNoise):
                image, codes = request.call.images[sample.index], request.call.codes[sample.index]
                self.cache.put(_noise_key(image, codes, request.sampling), sample.x)
        return _images_of(request)

    def _resume(self, request: RequestHandle, is_finished: bool = False) -> None:
        """Go on with an operation until it needs the network's steps, or to its end."""
        try:
            answer = self._finish_call(request) if is_finished else None
            while not request.is_cancelled:
                request.end_stage()
                request.call = next(request.calls) if answer is None else request.calls.send(answer)
                request.steps_before, request.samples = request.step, []
                if isinstance(request.call, Encode):
                    answer = self._encode(request.call.images)
                    continue
                self._start_samples(request, request.call)
                if request.samples:
                    with self._changed:
                        self._waiting.append(request)
                        self._changed.notify_all()
                    return
                answer = _images_of(request)
            self._end(request, _cancelled())
        except StopIteration as end:
            self._end(request, end.value)
        except Exception as error:  # of the operation or the encoder: this request fails, the engine goes on
            logger.exception("a request failed")
            self._end(request, error)

    def _end(self, request: RequestHandle, result: Tensor | Exception) -> None:
        request.calls.close()
        with self._changed:
            self._num_open -= 1
            self._changed.notify_all()
        if isinstance(result, Exception):
            request.future.set_exception(result)
        else:
            request.future.set_result(result)

    def _encode(self, images: Images) -> Codes:
        """Return z_dis of images, one at a time: what is cached must not depend on the company it came in."""
        return torch.cat([self._encode_one(image) for image in images.split(1)])

    def _encode_one(self, image: Images) -> Codes:
        key = content_key(image)
        known = self.cache.get(key)
        if known is None:
            known = self.editor.encode(image)
            self.cache.put(key, known)
        return known

    def _start_samples(self, request: RequestHandle, call: InferNoise | Generate) -> None:
        """Start the samples of a model call; noise that is known is not inferred again."""
        editor, steps = self.editor, request.sampling.steps
        if isinstance(call, InferNoise):
            path, images = inversion_path(editor.schedule, steps), call.images
            pairs = zip(call.images, call.codes, strict=True)
            request.results = [self.cache.get(_noise_key(image, codes, request.sampling)) for image, codes in pairs]
        else:
            path, images = sampling_path(editor.schedule, steps), editor.noise(call.x_T)
            request.results = [None] * len(images)
        rows = [row for row, result in enumerate(request.results) if result is None]
        if not rows:
            request.steps_before += steps
            return
        z_sem = editor.model.entangle(call.codes[rows].to(editor.device))
        conditions, starts = editor.network.condition(z_sem).unstack(), images[rows].to(editor.device)
        request.samples = [
            Sample(request, row, path, condition, start, torch.zeros_like(start))
            for row, condition, start in zip(rows, conditions, starts, strict=True)
        ]


def _images_of(request: RequestHandle) -> Tensor:
    """Return the result of a request's model call, once all of its images have come."""
    images = torch.stack([result for result in request.results if result is not None])
    return images.clamp(-1, 1) if isinstance(request.call, Generate) else images


def _cancelled() -> RequestCancelledError:
    return RequestCancelledError("the request was cancelled")


def _rule(sample: Sample) -> tuple[SamplerName, bool]:
    return sample.request.sampling.sampler, sample.request.sampling.clip


def _noise_key(image: Tensor, codes: Tensor, sampling: SamplingConfig) -> tuple[bytes, bytes, SamplingConfig]:
    return content_key(image), content_key(codes), sampling
