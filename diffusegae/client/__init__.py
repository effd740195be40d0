"""A client of the edit service, `Client` for ordinary code and `AsyncClient` for asyncio; needs no torch and no Ray.

from diffusegae.client import Client

with Client("http://127.0.0.1:8000") as client:
    client.edit("car.png", values={"colour": "red"}).save("red.png")
"""

from .answers import AttributeInfo, Code, GalleryItem, Health, JobState, ModelInfo, Progress, Schema
from .async_client import AsyncClient, AsyncJob
from .client import Client, Job
from .errors import (
    AnswerError,
    BadRequestError,
    BrokenConnectionError,
    ClientError,
    ConflictError,
    InputError,
    NotFoundError,
    ServiceError,
    TimedOutError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from .pictures import Picture, PictureLike
from .retry import Retries

__all__ = [
    "AnswerError",
    "AsyncClient",
    "AsyncJob",
    "AttributeInfo",
    "BadRequestError",
    "BrokenConnectionError",
    "Client",
    "ClientError",
    "Code",
    "ConflictError",
    "GalleryItem",
    "Health",
    "InputError",
    "Job",
    "JobState",
    "ModelInfo",
    "NotFoundError",
    "Picture",
    "PictureLike",
    "Progress",
    "Retries",
    "Schema",
    "ServiceError",
    "TimedOutError",
    "TooManyRequestsError",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UnreachableError",
]
