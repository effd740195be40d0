"""From answers to results: messages, pictures, codes and noise as they are sent; AnswerError for anything else."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import numpy as np
from pydantic import BaseModel, ValidationError

from . import answers
from .answers import Code, NoiseMap
from .errors import AnswerError
from .pictures import Picture, from_base64

M = TypeVar("M", bound=BaseModel)
Frames = tuple[Picture, ...]


def reader(kind: type[M]) -> Callable[[httpx.Response], M]:
    """Return what reads an answer as a message."""
    return lambda response: parsed(kind, response.content)


def parsed(kind: type[M], text: str | bytes) -> M:
    """Read JSON as a message."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise AnswerError(
            f"the service's answer is not the {kind.__name__} that was expected ({reasons}); check that the address is"
            " the edit service's, and that client and service are of one version"
        ) from error


def json_or_text(text: str) -> Any:
    """Read JSON, and leave what is none as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def pictures(text: str | bytes) -> Frames:
    """Read the pictures of a JSON answer."""
    message = parsed(answers.PicturesMessage, text)
    return tuple(Picture(from_base64(image), f"image/{message.format}", message.model) for image in message.images)


def picture(response: httpx.Response) -> Picture:
    """Read an answer that is a picture."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media_type.startswith("image/"):
        raise AnswerError(
            f"{response.url} answered {media_type or 'nothing'}, not a picture; check that the address is the service's"
        )
    return Picture(response.content, media_type, response.headers.get("x-model", ""))


def first(pictures: Frames) -> Picture:
    """Return the picture of an answer that has one."""
    if not pictures:
        raise AnswerError("the service answered without a picture; read its log")
    return pictures[0]


def code(response: httpx.Response) -> Code:
    """Read a code."""
    message = parsed(answers.CodeMessage, response.content)
    parts = {name: np.array(part, np.float32) for name, part in message.parts.items()}
    return Code(parts, None if message.x_T is None else noise_from_text(message.x_T), message.model)


def noise_from_text(text: str) -> NoiseMap:
    """Read x_T, float32 [3, s, s], from base64 of little-endian float32."""
    data = from_base64(text)
    side = round((len(data) / 12) ** 0.5)
    if side == 0 or len(data) != 12 * side * side:
        raise AnswerError(f"the service sent x_T of {len(data)} bytes; expected float32 [3, side, side]")
    return np.frombuffer(data, "<f4").reshape(3, side, side).astype(np.float32)
