"""Requests as JSON or as an uploaded form: one message model for both.

A form addresses nested fields with dots: `donors.NAME=@street.png` is donors[NAME], and `request.donors.NAME` the same
inside a job's request.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from serve.http.messages import FORM as FORM_CONTEXT
from serve.http.messages import Message
from serve.problems import Problem, shown

JSON, FORM = "application/json", "multipart/form-data"
NESTED = "request"  # the field whose own fields may be nested once more
MAX_PARTS = 256  # fields and files of a form
MAX_REASONS = 10
PLAINLY = {  # what pydantic says in the words of Python
    "tuple_type": "Input should be a list",
    "dict_type": "Input should be an object",
    "model_type": "Input should be an object",
}
M = TypeVar("M", bound=Message)


async def read_message(request: Request, kind: type[M], max_bytes: int) -> M:
    """Read the body as a message; Problem 400, 415 or 422 names every wrong field with the reason."""
    content, is_form = await read_content(request, max_bytes)
    return await asyncio.to_thread(to_message, content, kind, is_form)


async def read_content(request: Request, max_bytes: int) -> tuple[Any, bool]:
    """Read the body of either kind, and return whether it is a form; `max_bytes` is the limit of a text in a form."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == JSON:
        return await asyncio.to_thread(_from_json, await request.body()), False
    if content_type == FORM:
        return await _read_form(request, max_bytes), True
    raise Problem(415, "Unsupported content type", f"content type {shown(content_type)}; send {JSON} or {FORM}")


def to_message(content: Any, kind: type[M], is_form: bool, prefix: str = "") -> M:
    """Return what was read as a message; `prefix` names the field that it was found in."""
    try:
        return kind.model_validate(content, strict=not is_form, context=FORM_CONTEXT if is_form else None)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        reasons = [_explain(each, kind, prefix) for each in found[:MAX_REASONS]]
        if len(found) > MAX_REASONS:
            reasons.append(f"and {len(found) - MAX_REASONS} more")
        raise Problem(422, "Invalid request", "; ".join(reasons)) from error


def _from_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except RecursionError as error:
        raise Problem(400, "Not JSON", "the body is nested too deeply; requests hold objects within objects") from error
    except UnicodeDecodeError as error:
        raise Problem(400, "Not JSON", f"the body is not UTF-8 at byte {error.start}; encode it in UTF-8") from error
    except ValueError as error:
        raise Problem(400, "Not JSON", f"the body is not valid JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number; send finite numbers")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise Problem(422, "Invalid request", f"{shown(twice)}: given more than once; name each field once")
    return content


async def _read_form(request: Request, max_bytes: int) -> dict[str, Any]:
    try:
        async with request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=max_bytes) as form:
            return await _from_form(form)
    except (HTTPException, ValueError, LookupError, TypeError) as error:
        reason = error.detail if isinstance(error, HTTPException) else type(error).__name__
        detail = f"the body is not a form as its content type announces it ({reason}); send {FORM} as RFC 7578 has it"
        raise Problem(400, "Not a form", detail) from error


async def _from_form(form: FormData) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in form.multi_items():
        outer, _, inner = key.partition(".")
        known = content
        if outer == NESTED and inner:
            known = _within(known, NESTED, key)
            outer, _, inner = inner.partition(".")
        if inner:
            known = _within(known, outer, key)
        name = inner or outer
        if name in known:
            raise _given_twice(key)
        known[name] = await value.read() if isinstance(value, UploadFile) else value
    return content


def _within(content: dict[str, Any], field: str, key: str) -> dict[str, Any]:
    known = content.setdefault(field, {})
    if not isinstance(known, dict):
        raise _given_twice(key)
    return known


def _given_twice(key: str) -> Problem:
    return Problem(422, "Invalid request", f"{_name(key)}: given more than once; name each field once")


def _explain(error: Mapping[str, Any], kind: type[Message], prefix: str) -> str:
    where = prefix + ".".join(_name(part) for part in error["loc"][:4]) or "body"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown field; the fields are: {', '.join(kind.model_fields)}"
    if error["type"] == "missing":
        description = kind.model_fields[str(error["loc"][0])].description
        return f"{where}: Field required" + (f" ({description.rstrip('.')})" if description else "")
    if isinstance(error["input"], str | int | float | None):
        where = f"{where}={shown(error['input'])}"
    return f"{where}: {PLAINLY.get(error['type']) or error['msg'].removeprefix('Value error, ')}"


def _name(part: Any) -> str:
    """Return a field's name as the client wrote it, unless it is a long one."""
    text = str(part)
    return text if len(text) <= 60 else f"{text[:59]}…"
