"""Calls as values: what is sent for each, and how its answer is read. Nothing here touches the network.

`PictureRequest` asks for pictures: `ask` waits for the answer, `watch` follows it event by event, `submit` leaves it to
the service as a job.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
import numpy as np

from . import answers, errors, reading
from .answers import Code, Progress
from .events import Event
from .pictures import Picture, PictureLike, as_base64, encoded, from_base64
from .reading import Frames
from .retry import NOT_ACCEPTED, RESUMABLE, RETRYABLE, Retryable

JSON, EVENTS, IMAGE = "application/json", "text/event-stream", "image/*"
PROGRESS, DONE, PROBLEM = "progress", "done", "problem"
T = TypeVar("T")
Message = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One exchange with the service.

    Attributes:
        path: below /v1, quoted.
        read: turns a successful answer into the result.
        message: builds the JSON body; called late and off the event loop, as it may read files and encode pictures.
        query: in the address; `names_model` adds the client's model to it.
        retryable: the errors after which it is sent again.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    accept: str = JSON
    message: Callable[[], Message] | None = None
    query: Mapping[str, str] | None = None
    names_model: bool = False
    retryable: Retryable = RETRYABLE

    def body(self) -> bytes | None:
        """Return what is sent; InputError if what the caller gave cannot be."""
        if self.message is None:
            return None
        try:
            return json.dumps(self.message(), default=_plain, allow_nan=False).encode()
        except errors.ClientError:
            raise
        except (TypeError, ValueError) as error:
            raise errors.InputError(f"{self.path}: the request cannot be written as JSON ({error})") from error

    def result(self, response: httpx.Response) -> T:
        """Return what an answer, read to its end, means; ServiceError if the service said no."""
        if not response.is_success:
            raise errors.from_response(response)
        return self.read(response)


@dataclass(frozen=True)
class Stream(Generic[T]):
    """An exchange whose answer comes as events: progress, then the result.

    `resumes`: it can be taken up where it broke, as the work goes on without it; else the work begins again.
    """

    call: Call[None]
    result_of: Callable[[Frames], T]
    resumes: bool = False

    @property
    def retryable(self) -> Retryable:
        """The errors after which it is taken up, or begun, again."""
        return RESUMABLE if self.resumes else self.call.retryable

    def take(self, event: Event) -> Progress | T | None:
        """Return what an event means, None for one that this client does not know; ServiceError for a problem."""
        if event.name == PROGRESS:
            progress = reading.parsed(answers.ProgressMessage, event.data)
            pictures = tuple(Picture(from_base64(image), "image/png") for image in progress.images)
            return Progress(progress.step, progress.steps, pictures)
        if event.name == DONE:
            return self.result_of(reading.pictures(event.data))
        if event.name == PROBLEM:
            error = errors.from_problem(reading.json_or_text(event.data))
            error.is_final = self.resumes  # a job that has failed fails no other way
            raise error
        return None


@dataclass(frozen=True)
class ResultForm(Generic[T]):
    """The form of a result: how to ask for it, and how to read it from an answer or from events' pictures."""

    accept: str
    read: Callable[[httpx.Response], T]
    result_of: Callable[[Frames], T]


@dataclass(frozen=True)
class PictureRequest(Generic[T]):
    """A request for pictures: the operation, its message, and the form of the result."""

    operation: str
    message: Callable[[], Message]
    form: ResultForm[T]


def ask(request: PictureRequest[T]) -> Call[T]:
    """Wait for the result."""
    form = request.form
    return Call("POST", request.operation, form.read, form.accept, request.message, names_model=True)


def watch(request: PictureRequest[T]) -> Stream[T]:
    """Follow the work to its result."""
    call = Call("POST", request.operation, _nothing, EVENTS, request.message, names_model=True)
    return Stream(call, request.form.result_of)


def submit(request: PictureRequest[T]) -> Call[answers.JobState]:
    """Leave the work to the service."""

    def message() -> Message:
        return {"operation": request.operation, "request": request.message()}

    read = reading.reader(answers.JobState)
    return Call("POST", "jobs", read, message=message, names_model=True, retryable=NOT_ACCEPTED)


def job_state(id: str) -> Call[answers.JobState]:
    """Ask where a job is."""
    return Call("GET", _below("jobs", id), reading.reader(answers.JobState))


def job_events(id: str) -> Stream[None]:
    """Follow a job to its end; `job_result` has the result in its form."""
    return Stream(Call("GET", _below("jobs", id, "events"), _nothing, EVENTS), lambda pictures: None, resumes=True)


def job_result(id: str, form: ResultForm[T]) -> Call[T]:
    """Take the result of a job that is done."""
    return Call("GET", _below("jobs", id, "result"), form.read, form.accept)


def cancel_job(id: str) -> Call[None]:
    """End a job."""
    return Call("DELETE", _below("jobs", id), _nothing)


def encode(source: PictureLike, noise: bool, options: Mapping[str, Any]) -> Call[Code]:
    """Read a picture's code."""

    def message() -> Message:
        return {"source": picture_text(source, "source"), "noise": noise, **options}

    return Call("POST", "encode", reading.code, message=message, names_model=True)


def schema() -> Call[answers.Schema]:
    """Ask what can be asked of the model."""
    return Call("GET", "schema", reading.reader(answers.Schema), names_model=True)


def models() -> Call[tuple[answers.ModelInfo, ...]]:
    """Ask which models are served."""
    read = reading.reader(answers.ModelList)
    return Call("GET", "models", lambda response: read(response).models)


def health() -> Call[answers.Health]:
    """Ask whether the model answers."""
    return Call("GET", "health", reading.reader(answers.Health), names_model=True)


def gallery() -> Call[tuple[answers.GalleryItem, ...]]:
    """Ask which pictures are offered to choose from."""
    read = reading.reader(answers.GalleryList)
    return Call("GET", "gallery", lambda response: read(response).items)


def gallery_picture(key: str) -> Call[Picture]:
    """Take a picture of the gallery."""
    return Call("GET", _below("gallery", key), reading.picture, IMAGE)


def gallery_truth(key: str, donors: Mapping[str, str] | None, values: Mapping[str, str] | None) -> Call[Picture]:
    """Take the picture that an edit of a gallery picture should show."""
    named = {f"values.{name}": value for name, value in (values or {}).items()}
    return Call("GET", _below("gallery", key, "truth"), reading.picture, IMAGE, query={**(donors or {}), **named})


def picture_text(picture: PictureLike, where: str) -> str:
    """Return a picture as a message carries it."""
    return as_base64(encoded(picture, where))


def _below(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _plain(value: Any) -> Any:
    """Write numpy's numbers as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _nothing(response: httpx.Response) -> None:
    return None


ONE = ResultForm(IMAGE, reading.picture, reading.first)
ALL: ResultForm[Frames] = ResultForm(
    JSON, lambda response: reading.pictures(response.content), lambda pictures: pictures
)
