"""A model version inside a replica: its engine, its value codes, and tasks turned into recipes for the engine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing import recipes
from diffusegae.editing.editor import Editor
from diffusegae.editing.engine import Engine, Ticket
from diffusegae.editing.recipes import Noise, Recipe
from diffusegae.editing.values import ValueCodes
from diffusegae.pixels import to_pixels, to_tensor
from serve.problems import Problem, shown
from serve.tasks import (
    Change,
    Decode,
    Donor,
    Edit,
    Encode,
    Encoded,
    Interpolate,
    NoiseMap,
    Painted,
    PictureTask,
    Pixels,
    Progress,
    Recombine,
    Reconstruct,
    Sampling,
)

OnDone = Callable[[Mapping[str, float]], None]  # seconds of each stage of a request that has ended
PROGRESS_SECONDS = 0.05  # between two reports of a request's progress
CHECK_STEPS = 1


class ModelCheckError(RuntimeError):
    """A model whose pictures are none: it must not be put in, or not stay."""


class LoadedModel:
    """One version of a model, at work."""

    def __init__(
        self,
        editor: Editor,
        values: ValueCodes,
        label: str,
        max_images: int,
        cache_bytes: int,
        on_done: OnDone | None = None,
    ) -> None:
        """Warm a model up and put it to work; `on_done` is told of each request in the engine's thread."""
        self.editor, self.label, self._on_done = editor, label, on_done
        self.schema = editor.schema.fingerprint()
        editor.warm_up()  # before it can be asked for anything, its health included
        self.engine = Engine(editor, max_images, cache_bytes, PROGRESS_SECONDS)
        self._recipes = Recipes(editor, values)

    async def paint(self, task: PictureTask) -> Painted:
        """Do a task; cancelling it takes its images out of the engine."""
        ticket = self._submit(task)
        try:
            return self._painted(await asyncio.wrap_future(ticket.future))
        finally:
            ticket.cancel()

    async def follow(self, task: PictureTask) -> AsyncIterator[Progress | Painted]:
        """Do a task and tell how far it is, a few times per second; closing the iterator gives the task up."""
        reports = _Reports(asyncio.get_running_loop())
        ticket, steps = self._submit(task, reports), planned_steps(task)
        done = asyncio.wrap_future(ticket.future)
        done.add_done_callback(lambda _: reports.changed.set())
        try:
            while not done.done():
                await reports.changed.wait()
                reports.changed.clear()
                if reports.latest is not None and not done.done():
                    step, images = reports.latest
                    yield Progress(step, steps, None if images is None else to_pixels(images.clamp(-1, 1)))
            yield self._painted(done.result())
        finally:
            ticket.cancel()
            done.cancel()

    async def encode(self, task: Encode) -> Encoded:
        """Read a picture's z_dis and, if asked for, its noise."""
        image, sampling = to_tensor(task.source)[None], self._sampling(task.sampling)
        wanted = [recipes.encode(image), *([recipes.noise_of(image)] if task.sampling else [])]
        tickets = [self.engine.submit(recipe, sampling) for recipe in wanted]
        try:
            codes, *x_T = [await asyncio.wrap_future(ticket.future) for ticket in tickets]
        finally:
            for ticket in tickets:
                ticket.cancel()
        return Encoded(codes[0].cpu().numpy(), x_T[0][0].cpu().numpy() if x_T else None, self.label)

    async def check(self, seconds: float) -> None:
        """Have the model bring back a grey picture, among all other requests.

        Raises:
            ModelCheckError: it did not within the time, or what came is no picture.
        """
        grey = torch.zeros(1, 3, self.editor.image_size, self.editor.image_size)
        sampling = self.editor.sampling.model_copy(update={"steps": CHECK_STEPS})
        ticket = self.engine.submit(recipes.reconstruction(grey), sampling)
        try:
            image = await asyncio.wait_for(asyncio.wrap_future(ticket.future), seconds)
        except TimeoutError:
            raise ModelCheckError(f"{self.label} did not bring a picture back within {seconds:g} s") from None
        finally:
            ticket.cancel()
        if not image.isfinite().all():
            raise ModelCheckError(f"{self.label} brings back a picture that is not finite")

    def close(self) -> None:
        """Finish what was begun and let go of the model."""
        self.engine.close()

    def _submit(self, task: PictureTask, reports: "_Reports | None" = None) -> Ticket:
        ticket = self.engine.submit(self._recipes.of(task), self._sampling(task.sampling), reports)
        if self._on_done is not None:
            on_done = self._on_done
            ticket.future.add_done_callback(lambda _: on_done(ticket.seconds))
        return ticket

    def _sampling(self, sampling: Sampling | None) -> SamplingConfig:
        if sampling is None:
            return self.editor.sampling
        return SamplingConfig(steps=sampling.steps, sampler=sampling.sampler, clip=self.editor.sampling.clip)

    def _painted(self, images: Float[Tensor, "count 3 height width"]) -> Painted:
        return Painted(to_pixels(images), self.label)


class _Reports:
    """The latest report of a request, handed from the engine's thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.changed = asyncio.Event()
        self.latest: tuple[int, Tensor | None] | None = None
        self._loop = loop

    def __call__(self, step: int, images: Tensor | None) -> None:
        self.latest = (step, images)
        self._loop.call_soon_threadsafe(self.changed.set)


class Recipes:
    """Turns checked tasks into recipes for one model."""

    def __init__(self, editor: Editor, values: ValueCodes) -> None:
        self._editor, self._values = editor, values

    def of(self, task: PictureTask) -> Recipe:
        """Return the recipe of a task; drawing its noise is all that is done at once."""
        schema = self._editor.schema
        match task:
            case Edit():
                changes = {name: self._change(name, change) for name, change in task.changes.items()}
                return recipes.edit(schema, _batch(task.source), changes, self._seeded(task.seed))
            case Recombine():
                donors = {name: self._donor(name, donor) for name, donor in task.donors.items()}
                return recipes.recombination(schema, donors, self._noise(task.noise))
            case Interpolate():
                return recipes.interpolation(schema, _batch(task.source), _batch(task.target), task.names, task.frames)
            case Reconstruct():
                return recipes.reconstruction(_batch(task.source), self._seeded(task.seed))
            case Decode():
                codes = torch.from_numpy(np.array(task.code))[None].to(self._editor.device)
                return recipes.decoding(codes, self._noise(task.noise))

    def _change(self, name: str, change: Change) -> recipes.Change:
        return recipes.Change(self._donor(name, change.donor), change.strength)

    def _donor(self, name: str, donor: Donor) -> Tensor:
        if isinstance(donor, str):
            attribute = self._editor.schema.attributes[self._editor.schema.index_of(name)]
            code = self._values[name][attribute.index_of(donor)] if name in self._values else None
            if code is None or not code.isfinite().all():  # another version than the request was checked against
                raise Problem(422, "Unknown value", f"values.{name}={shown(donor)}: this version knows no such value")
            return code
        return _batch(donor)

    def _seeded(self, seed: int | None) -> Noise | None:
        return None if seed is None else self._editor.noise([seed])

    def _noise(self, noise: int | NoiseMap) -> Noise:
        if isinstance(noise, int):
            return self._editor.noise([noise])
        return torch.from_numpy(np.array(noise))[None].to(self._editor.device)


def planned_steps(task: PictureTask) -> int:
    """Return how many network calls a picture of a task takes, inversion included."""
    match task:
        case Edit() | Reconstruct():
            paths = 1 if task.seed is not None else 2
        case Interpolate():
            paths = 2
        case Recombine() | Decode():
            paths = 1
    return paths * task.sampling.steps


def _batch(pixels: Pixels) -> Float[Tensor, "1 3 height width"]:
    return to_tensor(pixels)[None]
