"""Continuous batching: the recipes of many requests are followed side by side and share every call of the network.

Each image of a request is a flight: it carries its own timestep, path and sampler, joins at the next step and leaves
when it has landed. A call of the network takes at most `max_images` flights. Which ones is start-time fair queueing
over requests: those that have had the least of the network go first, and a new request starts level with the least
served one. So a short request does not wait for a long one to end, a long one is never starved, and one that asks for
many pictures at once gets no more than its share.

All work is done by one thread of the engine's own; `submit` and `cancel` may be called from any thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

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
from diffusegae.editing.recipes import Encode, Generate, InferNoise, Need, Recipe
from diffusegae.models.unet import Condition

logger = logging.getLogger(__name__)

# Called in the engine's thread after a step: network calls that the slowest image has had, and the estimates of x_0
# while pictures are generated (None while noise is inferred). It must be quick and must not raise.
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
    flights: list[Flight] = field(default_factory=list)
    need: Need | None = None
    served: float = 0.0  # its place in the order of turns
    steps_before: int = 0  # network calls of the needs that are satisfied
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
    """

    def __init__(self, editor: Editor, max_images: int, cache_bytes: int) -> None:
        self.editor, self.max_images = editor, max_images
        self.cache, self.counters = TensorCache(cache_bytes), Counters()
        self._changed = threading.Condition()
        self._inbox: deque[Ticket] = deque()
        self._active: list[Ticket] = []
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="denoise", daemon=True)
        self._thread.start()

    @property
    def num_active(self) -> int:
        """Requests that are being worked on or wait for their first step."""
        return len(self._active) + len(self._inbox)

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
            self._inbox.append(ticket)
            self._changed.notify()
        return ticket

    def close(self) -> None:
        """Take no more requests, finish those that were taken in, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while self._admit():
            flights = self._choose()
            if flights:
                try:
                    self._advance(flights)
                except Exception as error:  # the requests fail, the engine goes on
                    logger.exception("a step of %d images failed", len(flights))
                    for ticket in {flight.ticket for flight in flights}:
                        self._fail(ticket, error)
            self._settle()

    def _admit(self) -> bool:
        """Start what has come in, waiting for it if there is nothing to do; False when all is done and closed."""
        with self._changed:
            while not self._inbox and not self._active and not self._is_closing:
                self._changed.wait()
            arrived = list(self._inbox)
            self._active += arrived
            self._inbox.clear()
        level = min((ticket.served for ticket in self._active if ticket not in arrived), default=0.0)
        for ticket in arrived:
            ticket.served = level
            self._resume(ticket, None)
        return bool(self._active or self._inbox) or not self._is_closing

    def _choose(self) -> list[Flight]:
        """Return the flights of the next call: in turns, the least served request first."""
        waiting = {ticket: deque(f for f in ticket.flights if not f.has_landed) for ticket in self._active}
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
        model, device = self.editor.model, self.editor.device
        x = torch.stack([flight.x for flight in flights])
        t = torch.tensor([flight.path[flight.position].timestep for flight in flights], device=device)
        prediction = model.unet.denoise(x, t, Condition.stack([flight.condition for flight in flights]))
        eps = predict_eps(prediction, x, t, self.editor.schedule, self.editor.config.diffusion.prediction)
        for sampling in {_rule(flight): None for flight in flights}:
            rows = [row for row, flight in enumerate(flights) if _rule(flight) == sampling]
            mine = [flights[row] for row in rows]
            levels = levels_of([flight.path[flight.position] for flight in mine], device)
            x_0_hat = torch.stack([flight.x_0_hat for flight in mine])
            moved, estimates = SAMPLERS[sampling[0]].advance(x[rows], eps[rows], x_0_hat, levels, sampling[1])
            for flight, image, estimate in zip(mine, moved, estimates, strict=True):
                flight.x, flight.x_0_hat = image, estimate
                flight.position += 1
        self.counters.calls += 1
        self.counters.steps += len(flights)

    def _settle(self) -> None:
        """Tell how far requests are, go on with recipes whose images have all landed, and drop what was given up."""
        for ticket in list(self._active):
            if ticket.is_cancelled:
                self._fail(ticket, RequestCancelledError("the request was cancelled"))
                continue
            if ticket.on_progress is not None and ticket.flights:
                estimates = torch.stack([flight.x_0_hat for flight in ticket.flights])
                ticket.on_progress(ticket.step, estimates if isinstance(ticket.need, Generate) else None)
            if all(flight.has_landed for flight in ticket.flights):
                self._land(ticket)

    def _land(self, ticket: Ticket) -> None:
        """Hand a recipe the images that it waited for."""
        images = torch.stack([flight.x for flight in ticket.flights])
        if isinstance(ticket.need, InferNoise):
            for image, codes, noise in zip(ticket.need.images, ticket.need.codes, images, strict=True):
                self.cache.put(_noise_key(image, codes, ticket.sampling), noise)
        self._resume(ticket, images.clamp(-1, 1) if isinstance(ticket.need, Generate) else images)

    def _resume(self, ticket: Ticket, answer: Tensor | None) -> None:
        """Go on with a recipe until it needs the network's steps, or to its end."""
        try:
            while True:
                ticket.end_stage()
                ticket.need = next(ticket.recipe) if answer is None else ticket.recipe.send(answer)
                ticket.steps_before, ticket.flights = ticket.step, []
                answer = self._answer_at_once(ticket, ticket.need)
                if answer is None:
                    return
        except StopIteration as end:
            self._active.remove(ticket)
            ticket.future.set_result(end.value)
        except Exception as error:  # of the recipe or the encoder: this request fails, the engine goes on
            logger.exception("a request failed")
            self._fail(ticket, error)

    def _answer_at_once(self, ticket: Ticket, need: Need) -> Tensor | None:
        """Answer what is known or takes one call of the encoder; else give the ticket its flights."""
        if isinstance(need, Encode):
            return self._encode(need.images)
        if isinstance(need, InferNoise):
            keys = [
                _noise_key(image, codes, ticket.sampling) for image, codes in zip(need.images, need.codes, strict=True)
            ]
            known = [self.cache.get(key) for key in keys]
            if all(noise is not None for noise in known):
                ticket.steps_before += ticket.sampling.steps
                return torch.stack([noise for noise in known if noise is not None])
            path = inversion_path(self.editor.schedule, ticket.sampling.steps)
            ticket.flights = self._take_off(ticket, need.images, need.codes, path)
            return None
        path = sampling_path(self.editor.schedule, ticket.sampling.steps)
        ticket.flights = self._take_off(ticket, need.x_T, need.codes, path)
        return None

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

    def _take_off(self, ticket: Ticket, x: Tensor, codes: Codes, path: Sequence[Transition]) -> list[Flight]:
        model = self.editor.model
        conditions = model.unet.condition(model.entangle(codes)).unstack()
        images = x.to(self.editor.device)
        return [
            Flight(ticket, index, path, condition, image, torch.zeros_like(image))
            for index, (image, condition) in enumerate(zip(images, conditions, strict=True))
        ]

    def _fail(self, ticket: Ticket, error: BaseException) -> None:
        if ticket in self._active:
            self._active.remove(ticket)
            ticket.recipe.close()
            ticket.future.set_exception(error)


def _rule(flight: Flight) -> tuple[SamplerName, bool]:
    return flight.ticket.sampling.sampler, flight.ticket.sampling.clip


def _noise_key(image: Tensor, codes: Tensor, sampling: SamplingConfig) -> tuple[bytes, bytes, SamplingConfig]:
    return content_key(image), content_key(codes), sampling
