"""Continuous batching: the recipes of many requests are followed side by side and share every call of the network.

Each image of a request is a flight: it carries its own timestep, path and sampler, joins at the next step and leaves
when it has landed. A call of the network takes at most `max_images` flights. Which ones is start-time fair queueing
over requests: those that have had the least of the network go first, and a new request starts level with the least
served one. So a short request does not wait for a long one to end, a long one is never starved, and one that asks for
many pictures at once gets no more than its share.

Between its steps a recipe is followed: pictures are encoded, conditions made. One thread takes the steps, and follows
recipes when it has none to take; while it has, a second one follows them, so that the network never waits for an
encoder. A request belongs to one of the two at a time. `submit` and `cancel` may be called from any thread.
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
from diffusegae.editing.pace import Pace
from diffusegae.editing.recipes import Encode, Generate, InferNoise, Need, Recipe
from diffusegae.models.unet import Condition

logger = logging.getLogger(__name__)

# Called by the engine after a step: network calls that the slowest image has had, and the estimates of x_0 while
# pictures are generated (None while noise is inferred). It must be quick; a request whose callback raises has failed.
OnProgress = Callable[[int, Images | None], None]


@dataclass(eq=False)
class Flight:
    """One image on its way along a path, and the place of its result among those that the recipe waits for."""

    ticket: "Ticket"
    index: int
    path: Sequence[Transition]
    condition: Condition
    x: Float[Tensor, "3 height width"]
    x_0_hat: Float[Tensor, "3 height width"]
    position: int = 0

    @property
    def has_landed(self) -> bool:
        """Whether the end of the path is reached."""
        return self.position == len(self.path)


@dataclass(eq=False)
class Ticket:
    """A submitted recipe: its result to come, and how much of the network it has had."""

    recipe: Recipe
    sampling: SamplingConfig
    on_progress: OnProgress | None
    future: "Future[Tensor]" = field(default_factory=Future)
    need: Need | None = None
    results: list[Tensor | None] = field(default_factory=list)  # of the need, an image each
    flights: list[Flight] = field(default_factory=list)  # the images among them that are on their way
    served: float = 0.0  # its place in the order of turns
    steps_before: int = 0  # network calls of the needs that are satisfied
    told: float = 0.0  # when its progress was reported last
    is_cancelled: bool = False
    seconds: dict[str, float] = field(default_factory=dict)  # by stage: Wait, then the names of the needs
    since: float = field(default_factory=time.monotonic)

    @property
    def step(self) -> int:
        """Network calls that the slowest image has had so far."""
        return self.steps_before + min((flight.position for flight in self.flights), default=0)

    def end_stage(self) -> None:
        """Count the time since the stage before to the one that ends now."""
        now, stage = time.monotonic(), "Wait" if self.need is None else type(self.need).__name__
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.since
        self.since = now

    def cancel(self) -> None:
        """Give the request up; its images leave before the next step."""
        self.is_cancelled = True


@dataclass
class Counters:
    """What an engine has done since it began; the engine's thread writes, others read."""

    calls: int = 0  # of the network
    steps: int = 0  # images times calls


class EngineClosedError(RuntimeError):
    """The engine takes no more requests."""


class RequestCancelledError(RuntimeError):
    """The request was given up by who made it."""


class Engine:
    """Follows recipes with an editor's model; results are on the editor's device.

    Args:
        editor: the model and its device; each request brings its own sampling.
        max_images: flights per call of the network.
        cache_bytes: memory for z_dis and x_T of images that come again.
        progress_seconds: least time between two reports of a request's progress.
    """

    def __init__(self, editor: Editor, max_images: int, cache_bytes: int, progress_seconds: float = 0.0) -> None:
        self.editor, self.max_images, self.progress_seconds = editor, max_images, progress_seconds
        self.cache, self.counters = TensorCache(cache_bytes), Counters()
        self._changed = threading.Condition()
        self._to_follow: deque[Callable[[], None]] = deque()  # recipes that can go on
        self._ready: deque[Ticket] = deque()  # with images that wait to join
        self._active: list[Ticket] = []  # with images that have joined
        self._num_open, self._level, self._is_closing = 0, 0.0, False
        self._pace = Pace(editor.device)
        self._stacked: tuple[list[Condition], Condition | None] = ([], None)  # conditions of the last call
        self._threads = (
            threading.Thread(target=self._run, name="denoise", daemon=True),
            threading.Thread(target=self._help, name="follow", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    @property
    def num_active(self) -> int:
        """Requests that were taken in and have not ended."""
        return self._num_open

    def submit(self, recipe: Recipe, sampling: SamplingConfig, on_progress: OnProgress | None = None) -> Ticket:
        """Take a request in; its images join at the next step. The ticket's future gets the recipe's result.

        Raises:
            EngineClosedError: the engine takes no more requests.
        """
        ticket = Ticket(recipe, sampling, on_progress)
        ticket.future.set_running_or_notify_cancel()  # giving it up is the ticket's matter, not its future's
        with self._changed:
            if self._is_closing:
                raise EngineClosedError("this engine is closed; send the request to the one that took its place")
            self._num_open += 1
            self._to_follow.append(partial(self._resume, ticket))
            self._changed.notify_all()
        return ticket

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
            if not self._active:
                self._follow_next()
                continue
            flights = self._choose()
            if flights:
                try:
                    self._advance(flights)
                except Exception as error:  # the requests fail, the engine goes on
                    logger.exception("a step of %d images failed", len(flights))
                    for ticket in {flight.ticket: None for flight in flights}:
                        self._drop(ticket, error)
            self._settle()

    @torch.inference_mode()
    def _help(self) -> None:
        while True:
            with self._changed:
                while not (self._to_follow and self._active) and not self._is_done():
                    self._changed.wait()
                if self._is_done():
                    return
            self._follow_next()

    def _follow_next(self) -> None:
        with self._changed:
            follow = self._to_follow.popleft() if self._to_follow else None
        if follow is not None:
            follow()

    def _is_done(self) -> bool:
        return self._is_closing and not self._num_open

    def _admit(self) -> bool:
        """Let those join who are ready, waiting while there is nothing to do; False when all is done and closed.

        Who joins starts level with the least served, so that nobody saves turns up while others work.
        """
        with self._changed:
            while not (self._ready or self._active or self._to_follow or self._is_done()):
                self._changed.wait()
            for ticket in self._ready:
                ticket.served = max(ticket.served, self._level)
            self._active += self._ready
            self._ready.clear()
            if self._active and self._to_follow:
                self._changed.notify_all()
            return not self._is_done()

    def _choose(self) -> list[Flight]:
        """Return the flights of the next call: in turns, the least served request first."""
        waiting = {ticket: deque(f for f in ticket.flights if not f.has_landed) for ticket in self._active}
        self._level = min(ticket.served for ticket in self._active)
        chosen: list[Flight] = []
        while len(chosen) < self.max_images:
            ready = [ticket for ticket, flights in waiting.items() if flights and not ticket.is_cancelled]
            if not ready:
                break
            ticket = min(ready, key=lambda each: each.served)
            chosen.append(waiting[ticket].popleft())
            ticket.served += 1.0
        return chosen

    def _advance(self, flights: Sequence[Flight]) -> None:
        """Move flights by one step each, with one call of the network."""
        flights = sorted(flights, key=_rule)  # those of one rule are neighbours
        x, x_0_hat = (torch.stack(images) for images in zip(*((each.x, each.x_0_hat) for each in flights), strict=True))
        levels = levels_of([flight.path[flight.position] for flight in flights], x)
        prediction = self.editor.network.denoise(x, levels.t, self._stack([each.condition for each in flights]))
        eps = predict_eps(prediction, x, levels.t, self.editor.schedule, self.editor.config.diffusion.prediction)
        place = 0
        for (sampler, clip), mine in groupby(flights, _rule):
            group = list(mine)
            rows = slice(place, place + len(group))
            moved, estimates = SAMPLERS[sampler].advance(x[rows], eps[rows], x_0_hat[rows], levels[rows], clip)
            for flight, image, estimate in zip(group, moved, estimates, strict=True):
                flight.x, flight.x_0_hat = image, estimate
                flight.position += 1
            place = rows.stop
        self._pace.step()
        self.counters.calls += 1
        self.counters.steps += len(flights)

    def _stack(self, conditions: list[Condition]) -> Condition:
        """Return conditions as one batch, the very one of the call before if they are the same."""
        known, stacked = self._stacked
        if stacked is None or len(known) != len(conditions) or any(map(is_not, known, conditions)):
            stacked = Condition.stack(conditions)
            self._stacked = conditions, stacked
        return stacked

    def _settle(self) -> None:
        """Tell how far requests are, hand on those whose images have all landed, and drop what was given up."""
        for ticket in list(self._active):
            if ticket.is_cancelled:
                self._drop(ticket, _cancelled())
                continue
            try:
                self._report(ticket)
            except Exception as error:  # of who asked: this request fails, the engine goes on
                logger.exception("a request's callback failed")
                self._drop(ticket, error)
                continue
            if all(flight.has_landed for flight in ticket.flights):
                self._active.remove(ticket)
                with self._changed:
                    self._to_follow.append(partial(self._resume, ticket, has_landed=True))
                    self._changed.notify_all()

    def _report(self, ticket: Ticket) -> None:
        now = time.monotonic()
        if ticket.on_progress is None or now - ticket.told < self.progress_seconds:
            return
        ticket.told = now
        is_picture = isinstance(ticket.need, Generate)
        ticket.on_progress(
            ticket.step, torch.stack([flight.x_0_hat for flight in ticket.flights]) if is_picture else None
        )

    def _drop(self, ticket: Ticket, error: Exception) -> None:
        self._active.remove(ticket)
        self._end(ticket, error)

    def _land(self, ticket: Ticket) -> Tensor:
        """Return the images that a recipe waited for; noise that was inferred is kept."""
        for flight in ticket.flights:
            ticket.results[flight.index] = flight.x
            if isinstance(ticket.need, InferNoise):
                image, codes = ticket.need.images[flight.index], ticket.need.codes[flight.index]
                self.cache.put(_noise_key(image, codes, ticket.sampling), flight.x)
        return _images_of(ticket)

    def _resume(self, ticket: Ticket, has_landed: bool = False) -> None:
        """Go on with a recipe until it needs the network's steps, or to its end."""
        try:
            answer = self._land(ticket) if has_landed else None
            while not ticket.is_cancelled:
                ticket.end_stage()
                ticket.need = next(ticket.recipe) if answer is None else ticket.recipe.send(answer)
                ticket.steps_before, ticket.flights = ticket.step, []
                if isinstance(ticket.need, Encode):
                    answer = self._encode(ticket.need.images)
                    continue
                self._take_off(ticket, ticket.need)
                if ticket.flights:
                    with self._changed:
                        self._ready.append(ticket)
                        self._changed.notify_all()
                    return
                answer = _images_of(ticket)
            self._end(ticket, _cancelled())
        except StopIteration as end:
            self._end(ticket, end.value)
        except Exception as error:  # of the recipe or the encoder: this request fails, the engine goes on
            logger.exception("a request failed")
            self._end(ticket, error)

    def _end(self, ticket: Ticket, result: Tensor | Exception) -> None:
        ticket.recipe.close()
        with self._changed:
            self._num_open -= 1
            self._changed.notify_all()
        if isinstance(result, Exception):
            ticket.future.set_exception(result)
        else:
            ticket.future.set_result(result)

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

    def _take_off(self, ticket: Ticket, need: InferNoise | Generate) -> None:
        """Put the images of a need on their way; noise that is known need not be inferred again."""
        schedule, steps = self.editor.schedule, ticket.sampling.steps
        if isinstance(need, InferNoise):
            path, images = inversion_path(schedule, steps), need.images
            pairs = zip(need.images, need.codes, strict=True)
            ticket.results = [self.cache.get(_noise_key(image, codes, ticket.sampling)) for image, codes in pairs]
        else:
            path, images = sampling_path(schedule, steps), need.x_T
            ticket.results = [None] * len(need.x_T)
        rows = [row for row, result in enumerate(ticket.results) if result is None]
        if not rows:
            ticket.steps_before += steps
            return
        conditions = self.editor.network.condition(self.editor.model.entangle(need.codes[rows])).unstack()
        starts = images[rows].to(self.editor.device)
        ticket.flights = [
            Flight(ticket, row, path, condition, start, torch.zeros_like(start))
            for row, condition, start in zip(rows, conditions, starts, strict=True)
        ]


def _images_of(ticket: Ticket) -> Tensor:
    """Return what a ticket's need has come to, when all of it has."""
    images = torch.stack([result for result in ticket.results if result is not None])
    return images.clamp(-1, 1) if isinstance(ticket.need, Generate) else images


def _cancelled() -> RequestCancelledError:
    return RequestCancelledError("the request was cancelled")


def _rule(flight: Flight) -> tuple[SamplerName, bool]:
    return flight.ticket.sampling.sampler, flight.ticket.sampling.clip


def _noise_key(image: Tensor, codes: Tensor, sampling: SamplingConfig) -> tuple[bytes, bytes, SamplingConfig]:
    return content_key(image), content_key(codes), sampling
