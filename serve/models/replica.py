"""A model version inside a replica: its engine, its value codes, and the tasks that it does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.engine import Engine, RequestHandle
from diffusegae.editing.method import Images
from diffusegae.editing.operations import Donor, Edit, Encode, Invert, Operation, Recombine, Reconstruct
from diffusegae.editing.values import ValueCodes
from diffusegae.pixels import to_pixels
from serve.problems import Problem, shown
from serve.tasks import Encoded, GeneratedImages, SamplingProgress, Task

OnDone = Callable[[Mapping[str, float]], None]  # seconds of each stage of a request that has ended
PROGRESS_SECONDS = 0.05  # between two reports of a request's progress
CHECK_STEPS = 1


class ModelCheckError(RuntimeError):
    """A model that reconstructs no picture: it must not be put in, or not stay."""


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
        """Warm a model up and put it to work; the engine's thread calls `on_done` after each request."""
        self.editor, self.label, self._on_done = editor, label, on_done
        self.schema = editor.schema.fingerprint()
        editor.warm_up()  # before it can be asked for anything, its health included
        self.engine = Engine(editor, max_images, cache_bytes, PROGRESS_SECONDS)
        self._values = values

    async def generate(self, task: Task) -> GeneratedImages:
        """Perform a task; cancelling it takes its samples out of the engine."""
        request = self._begin(task)
        try:
            return self._generated(await asyncio.wrap_future(request.future))
        finally:
            request.cancel()

    async def follow(self, task: Task) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        """Perform a task and report its progress, a few times per second; closing the iterator cancels the task."""
        reports = _Reports(asyncio.get_running_loop())
        request = self._begin(task, reports)
        done = asyncio.wrap_future(request.future)
        done.add_done_callback(lambda _: reports.changed.set())
        try:
            while not done.done():
                await reports.changed.wait()
                reports.changed.clear()
                if reports.latest is not None and not done.done():
                    step, images = reports.latest
                    yield SamplingProgress(step, task.steps, None if images is None else to_pixels(images.clamp(-1, 1)))
            yield self._generated(done.result())
        finally:
            request.cancel()
            done.cancel()

    async def encode(self, image: Images, sampling: SamplingConfig | None) -> Encoded:
        """Read an image's z_dis and, with sampling, its noise."""
        requests = [self._submit(Encode(image), self.editor.sampling)]
        if sampling is not None:
            requests.append(self._submit(Invert(image), sampling))
        try:
            codes, *x_T = [await asyncio.wrap_future(request.future) for request in requests]
        finally:
            for request in requests:
                request.cancel()
        return Encoded(codes[0].cpu().numpy(), x_T[0][0].cpu().numpy() if x_T else None, self.label)

    async def check(self, seconds: float) -> None:
        """Have the model reconstruct a grey picture, among all other requests.

        Raises:
            ModelCheckError: it did not within the time, or what came is no picture.
        """
        grey = torch.zeros(1, 3, self.editor.image_size, self.editor.image_size)
        sampling = self.editor.sampling.model_copy(update={"steps": CHECK_STEPS})
        request = self.engine.submit(Reconstruct(grey), sampling)
        try:
            image = await asyncio.wait_for(asyncio.wrap_future(request.future), seconds)
        except TimeoutError:
            raise ModelCheckError(f"{self.label} did not reconstruct a picture within {seconds:g} s") from None
        finally:
            request.cancel()
        if not image.isfinite().all():
            raise ModelCheckError(f"{self.label} reconstructs a picture that is not finite")

    def close(self) -> None:
        """Finish the requests that have begun and release the model."""
        self.engine.close()

    def _begin(self, task: Task, reports: "_Reports | None" = None) -> RequestHandle:
        request = self._submit(task.operation, task.sampling, reports)
        if self._on_done is not None:
            on_done = self._on_done
            request.future.add_done_callback(lambda _: on_done(request.seconds))
        return request

    def _submit(
        self, operation: Operation, sampling: SamplingConfig, reports: "_Reports | None" = None
    ) -> RequestHandle:
        if isinstance(operation, Edit | Recombine):
            donors = {name: self._look_up(name, donor) for name, donor in operation.donors.items()}
            operation = replace(operation, donors=donors)
        own = sampling.model_copy(update={"clip": self.editor.sampling.clip})
        return self.engine.submit(operation, own, reports)

    def _look_up(self, name: str, donor: Donor) -> Tensor:
        """Return a donor's images, or its part of z_dis if it is the name of a value."""
        if not isinstance(donor, str):
            return donor
        attribute = self.editor.schema.attributes[self.editor.schema.index_of(name)]
        code = self._values[name][attribute.index_of(donor)] if name in self._values else None
        if code is None or not code.isfinite().all():  # another version than the request was checked against
            raise Problem(422, "Unknown value", f"values.{name}={shown(donor)}: this version knows no such value")
        return code.to(self.editor.device)

    def _generated(self, images: Float[Tensor, "count 3 height width"]) -> GeneratedImages:
        return GeneratedImages(to_pixels(images), self.label)


class _Reports:
    """The latest report of a request, handed from the engine's thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.changed = asyncio.Event()
        self.latest: tuple[int, Tensor | None] | None = None
        self._loop = loop

    def __call__(self, step: int, images: Tensor | None) -> None:
        self.latest = (step, images)
        self._loop.call_soon_threadsafe(self.changed.set)
