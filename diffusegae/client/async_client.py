"""The client for asyncio: every call is awaited, and many can be under way at once."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Generic, TypeVar, Unpack

import httpx

from . import calls
from .answers import Code, GalleryItem, Health, JobState, ModelInfo, Progress, Schema
from .calls import Call, PictureRequest, ResultForm, Stream
from .errors import ClientError, NotFoundError
from .events import read_events_async
from .operations import Animations, EncodeOptions, Operations
from .pictures import Picture, PictureLike
from .reading import Frames
from .retry import Attempts, Retries
from .wire import Wire

T = TypeVar("T")


class AsyncClient(Animations[Coroutine[Any, Any, Picture], Coroutine[Any, Any, Frames]]):
    """Asks an edit service from asyncio; of one event loop.

    Attributes:
        follow: the same operations, each returning its progress and then its result, event by event.
        jobs: the same operations, each submitting a job that the service does on its own.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        model: str | None = None,
        timeout: float = 60.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Connect lazily: nothing is sent before the first call. The arguments are `Client`'s.

        Raises:
            InputError: the address, token or timeout cannot be used.
        """
        wire = Wire(address, token, model, timeout, retries or Retries())
        self._connection = AsyncConnection(wire, transport, sleep)
        self.follow = AsyncFollow(self._connection)
        self.jobs = AsyncJobs(self._connection)

    def _one(self, request: PictureRequest[Picture]) -> Coroutine[Any, Any, Picture]:
        return self._connection.run(calls.ask(request))

    def _many(self, request: PictureRequest[Frames]) -> Coroutine[Any, Any, Frames]:
        return self._connection.run(calls.ask(request))

    async def encode(self, source: PictureLike, *, noise: bool = False, **options: Unpack[EncodeOptions]) -> Code:
        """Read a picture's code, and with `noise` the x_T that holds its details, too."""
        return await self._connection.run(calls.encode(source, noise, options))

    async def schema(self) -> Schema:
        """Return what can be asked of the model."""
        return await self._connection.run(calls.schema())

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the served models, the default first."""
        return await self._connection.run(calls.models())

    async def health(self) -> Health:
        """Return the model that answers; UnavailableError if none does."""
        return await self._connection.run(calls.health())

    async def gallery(self) -> tuple[GalleryItem, ...]:
        """Return the pictures that the service offers to choose from; none where it has no gallery."""
        return await self._connection.run(calls.gallery())

    async def gallery_picture(self, key: str) -> Picture:
        """Return a picture of the gallery; NotFoundError if there is none of that key."""
        return await self._connection.run(calls.gallery_picture(key))

    async def gallery_truth(
        self, key: str, *, donors: Mapping[str, str] | None = None, values: Mapping[str, str] | None = None
    ) -> Picture:
        """Return what an edit of a gallery picture should show, from the data.

        Args:
            key: the picture that is edited.
            donors: for an attribute, the key of the picture it is taken from.
            values: for an attribute, the name of the value it gets.

        Raises:
            NotFoundError: the data has no such picture.
        """
        return await self._connection.run(calls.gallery_truth(key, donors, values))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncConnection:
    """Sends calls, and sends them again when that helps."""

    def __init__(
        self, wire: Wire, transport: httpx.AsyncBaseTransport | None, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._wire, self._sleep = wire, sleep
        self._http = httpx.AsyncClient(transport=transport)

    async def run(self, call: Call[T]) -> T:
        """Return the result of a call."""
        body = await asyncio.to_thread(call.body)
        attempts = self._wire.retries.begin(call.retryable)
        while True:
            try:
                with self._wire.explained():
                    response = await self._http.send(self._wire.request(call, body, attempts.seconds_left))
                return call.result(response)
            except ClientError as error:
                await self._sleep(attempts.pause(error))

    async def follow(self, stream: Stream[T]) -> AsyncGenerator[Progress | T, None]:
        """Yield progress, and the result last."""
        body = await asyncio.to_thread(stream.call.body)
        attempts = self._wire.retries.begin(stream.retryable)
        while True:
            try:
                answers = self._follow_once(stream, body, attempts)
                async with aclosing(answers):
                    async for answer in answers:
                        yield answer
                return
            except ClientError as error:
                await self._sleep(attempts.pause(error))

    async def _follow_once(
        self, stream: Stream[T], body: bytes | None, attempts: Attempts
    ) -> AsyncGenerator[Progress | T, None]:
        request = self._wire.request(stream.call, body, attempts.seconds_left)
        with self._wire.explained():
            async with aclosing(await self._http.send(request, stream=True)) as response:
                if not response.is_success:
                    await response.aread()
                stream.call.result(response)
                self._wire.require_events(response)
                async for event in read_events_async(response.aiter_bytes()):
                    answer = stream.take(event)
                    if stream.resumes:
                        attempts.renew()
                    if answer is not None:
                        yield answer
                    if event.name == calls.DONE:
                        return
        raise self._wire.cut()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class AsyncFollow(Operations[AsyncGenerator[Progress | Picture, None], AsyncGenerator[Progress | Frames, None]]):
    """Operations that are watched: `Progress` again and again, then the result.

    Closing the iterator ends the request in the service too; use contextlib.aclosing where a loop may be left early.
    Where the connection breaks, the work begins again: `step` falls back, the result is the same.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def _one(self, request: PictureRequest[Picture]) -> AsyncGenerator[Progress | Picture, None]:
        return self._connection.follow(calls.watch(request))

    def _many(self, request: PictureRequest[Frames]) -> AsyncGenerator[Progress | Frames, None]:
        return self._connection.follow(calls.watch(request))


class AsyncJob(Generic[T]):
    """Work that the service does on its own, whether or not anybody waits.

    Attributes:
        id: by which `AsyncJobs.reopen` finds it again, from anywhere.
    """

    def __init__(self, connection: AsyncConnection, id: str, form: ResultForm[T]) -> None:
        self.id = id
        self._connection, self._form = connection, form

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

    async def state(self) -> JobState:
        """Return where it is; NotFoundError once the service has forgotten it."""
        return await self._connection.run(calls.job_state(self.id))

    async def follow(self) -> AsyncGenerator[Progress | T, None]:
        """Yield progress, and the result last; raise the ServiceError it failed with."""
        events = self._connection.follow(calls.job_events(self.id))
        async with aclosing(events):
            async for event in events:
                if event is not None:
                    yield event
        yield await self.result()

    async def wait(self, on_progress: Callable[[Progress], Any] | None = None) -> T:
        """Return the result when it is there; raise the ServiceError it failed with."""
        events = self._connection.follow(calls.job_events(self.id))
        async with aclosing(events):
            async for event in events:
                if event is not None and on_progress is not None:
                    on_progress(event)
        return await self.result()

    async def result(self) -> T:
        """Return the result; ConflictError while it is not there."""
        return await self._connection.run(calls.job_result(self.id, self._form))

    async def cancel(self) -> None:
        """End it and have it forgotten; one that is unknown already is no error."""
        with suppress(NotFoundError):
            await self._connection.run(calls.cancel_job(self.id))


class AsyncJobs(Animations[Coroutine[Any, Any, AsyncJob[Picture]], Coroutine[Any, Any, AsyncJob[Frames]]]):
    """Operations that are submitted: each returns its `AsyncJob` as soon as the service has taken it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def reopen(self, id: str) -> AsyncJob[Frames]:
        """Return a job that was submitted elsewhere; its result is a tuple of pictures, one for a single picture."""
        return AsyncJob(self._connection, id, calls.ALL)

    def _one(self, request: PictureRequest[Picture]) -> Coroutine[Any, Any, AsyncJob[Picture]]:
        return self._submit(request)

    def _many(self, request: PictureRequest[Frames]) -> Coroutine[Any, Any, AsyncJob[Frames]]:
        return self._submit(request)

    async def _submit(self, request: PictureRequest[T]) -> AsyncJob[T]:
        state = await self._connection.run(calls.submit(request))
        return AsyncJob(self._connection, state.id, request.form)
