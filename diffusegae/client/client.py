"""The client for ordinary code: every call waits for its result."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from types import TracebackType
from typing import Any, Generic, TypeVar, Unpack

import httpx

from . import calls
from .answers import Code, GalleryItem, Health, JobState, ModelInfo, Progress, Schema
from .calls import Call, PictureRequest, ResultForm, Stream
from .errors import ClientError, NotFoundError
from .events import read_events
from .operations import Animations, EncodeOptions, Operations
from .pictures import Picture, PictureLike
from .reading import Frames
from .retry import Attempts, Retries
from .wire import Wire

T = TypeVar("T")


class Client(Animations[Picture, Frames]):
    """Asks an edit service; may be shared by threads.

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
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect lazily: nothing is sent before the first call.

        Args:
            address: http(s)://host[:port][/prefix] of the service, without /v1.
            token: bearer token, if the service asks for one.
            model: name of the served model to ask; None leaves it to the service.
            timeout: seconds of silence after which a request fails.
            retries: when a request is sent again; `Retries()` if None.
            transport: how requests travel, instead of httpx's own.
            sleep: what waits between attempts.

        Raises:
            InputError: the address, token or timeout cannot be used.
        """
        wire = Wire(address, token, model, timeout, retries or Retries())
        self._connection = Connection(wire, transport, sleep)
        self.follow = Follow(self._connection)
        self.jobs = Jobs(self._connection)

    def _one(self, request: PictureRequest[Picture]) -> Picture:
        return self._connection.run(calls.ask(request))

    def _many(self, request: PictureRequest[Frames]) -> Frames:
        return self._connection.run(calls.ask(request))

    def encode(self, source: PictureLike, *, noise: bool = False, **options: Unpack[EncodeOptions]) -> Code:
        """Read a picture's code, and with `noise` the x_T that holds its details, too."""
        return self._connection.run(calls.encode(source, noise, options))

    def schema(self) -> Schema:
        """Return what can be asked of the model."""
        return self._connection.run(calls.schema())

    def models(self) -> tuple[ModelInfo, ...]:
        """Return the served models, the default first."""
        return self._connection.run(calls.models())

    def health(self) -> Health:
        """Return the model that answers; UnavailableError if none does."""
        return self._connection.run(calls.health())

    def gallery(self) -> tuple[GalleryItem, ...]:
        """Return the pictures that the service offers to choose from; none where it has no gallery."""
        return self._connection.run(calls.gallery())

    def gallery_picture(self, key: str) -> Picture:
        """Return a picture of the gallery; NotFoundError if there is none of that key."""
        return self._connection.run(calls.gallery_picture(key))

    def gallery_truth(
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
        return self._connection.run(calls.gallery_truth(key, donors, values))

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Connection:
    """Sends calls, and sends them again when that helps."""

    def __init__(self, wire: Wire, transport: httpx.BaseTransport | None, sleep: Callable[[float], None]) -> None:
        self._wire, self._sleep = wire, sleep
        self._http = httpx.Client(transport=transport)

    def run(self, call: Call[T]) -> T:
        """Return the result of a call."""
        body = call.body()
        attempts = self._wire.retries.begin(call.retryable)
        while True:
            try:
                with self._wire.explained():
                    response = self._http.send(self._wire.request(call, body, attempts.seconds_left))
                return call.result(response)
            except ClientError as error:
                self._sleep(attempts.pause(error))

    def follow(self, stream: Stream[T]) -> Generator[Progress | T, None, None]:
        """Yield progress, and the result last."""
        body = stream.call.body()
        attempts = self._wire.retries.begin(stream.retryable)
        while True:
            try:
                yield from self._follow_once(stream, body, attempts)
                return
            except ClientError as error:
                self._sleep(attempts.pause(error))

    def _follow_once(
        self, stream: Stream[T], body: bytes | None, attempts: Attempts
    ) -> Generator[Progress | T, None, None]:
        request = self._wire.request(stream.call, body, attempts.seconds_left)
        with self._wire.explained(), closing(self._http.send(request, stream=True)) as response:
            if not response.is_success:
                response.read()
            stream.call.result(response)
            self._wire.require_events(response)
            for event in read_events(response.iter_bytes()):
                answer = stream.take(event)
                if stream.resumes:
                    attempts.renew()
                if answer is not None:
                    yield answer
                if event.name == calls.DONE:
                    return
        raise self._wire.cut()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class Follow(Operations[Generator[Progress | Picture, None, None], Generator[Progress | Frames, None, None]]):
    """Operations that are watched: `Progress` again and again, then the result.

    Closing the iterator, or leaving its loop, ends the request in the service too. Where the connection breaks, the
    work begins again: `step` falls back, the result is the same.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _one(self, request: PictureRequest[Picture]) -> Generator[Progress | Picture, None, None]:
        return self._connection.follow(calls.watch(request))

    def _many(self, request: PictureRequest[Frames]) -> Generator[Progress | Frames, None, None]:
        return self._connection.follow(calls.watch(request))


class Job(Generic[T]):
    """Work that the service does on its own, whether or not anybody waits.

    Attributes:
        id: by which `Jobs.reopen` finds it again, from anywhere.
    """

    def __init__(self, connection: Connection, id: str, form: ResultForm[T]) -> None:
        self.id = id
        self._connection, self._form = connection, form

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def state(self) -> JobState:
        """Return where it is; NotFoundError once the service has forgotten it."""
        return self._connection.run(calls.job_state(self.id))

    def follow(self) -> Generator[Progress | T, None, None]:
        """Yield progress, and the result last; raise the ServiceError it failed with."""
        for event in self._connection.follow(calls.job_events(self.id)):
            if event is not None:
                yield event
        yield self.result()

    def wait(self, on_progress: Callable[[Progress], Any] | None = None) -> T:
        """Return the result when it is there; raise the ServiceError it failed with."""
        for event in self._connection.follow(calls.job_events(self.id)):
            if event is not None and on_progress is not None:
                on_progress(event)
        return self.result()

    def result(self) -> T:
        """Return the result; ConflictError while it is not there."""
        return self._connection.run(calls.job_result(self.id, self._form))

    def cancel(self) -> None:
        """End it and have it forgotten; one that is unknown already is no error."""
        with suppress(NotFoundError):
            self._connection.run(calls.cancel_job(self.id))


class Jobs(Animations[Job[Picture], Job[Frames]]):
    """Operations that are submitted: each returns its `Job` at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def reopen(self, id: str) -> Job[Frames]:
        """Return a job that was submitted elsewhere; its result is a tuple of pictures, one for a single picture."""
        return Job(self._connection, id, calls.ALL)

    def _one(self, request: PictureRequest[Picture]) -> Job[Picture]:
        return Job(self._connection, self._connection.run(calls.submit(request)).id, request.form)

    def _many(self, request: PictureRequest[Frames]) -> Job[Frames]:
        return Job(self._connection, self._connection.run(calls.submit(request)).id, request.form)
