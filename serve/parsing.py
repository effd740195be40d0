"""Requests as JSON or as an uploaded form: one message model for both, and both in the OpenAPI description.

A form addresses nested fields with dots: `donors.NAME=@street.png` is donors[NAME].
"""

import copy
import json
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from .messages import Message
from .problems import Problem

JSON, FORM = "application/json", "multipart/form-data"
M = TypeVar("M", bound=Message)


async def read_message(request: Request, kind: type[M]) -> M:
    """Read the body as a message; Problem 415 or 422 names every wrong field with the reason."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == JSON:
        content = _from_json(await request.body())
    elif content_type == FORM:
        async with request.form() as form:
            content = await _from_form(form)
    else:
        raise Problem(415, "Unsupported content type", f"content type {content_type!r}; send {JSON} or {FORM}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        reasons = [_explain(problem, kind) for problem in error.errors(include_url=False, include_context=False)]
        raise Problem(422, "Invalid request", "; ".join(reasons)) from error


def body_description(kind: type[Message]) -> dict[str, Any]:
    """Return the OpenAPI description of a message's body, in both forms."""
    schema = kind.model_json_schema()
    content = {JSON: {"schema": schema}, FORM: {"schema": _as_form(schema)}}
    return {"requestBody": {"required": True, "content": content}}


def _from_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Problem(400, "Not JSON", f"the body is not valid JSON: {error}") from error


async def _from_form(form: FormData) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in form.multi_items():
        outer, _, inner = key.partition(".")
        known = content.setdefault(outer, {}) if inner else content
        name = inner or outer
        if not isinstance(known, dict) or name in known:
            raise Problem(422, "Invalid request", f"{key}: given more than once; name each field once")
        known[name] = await value.read() if isinstance(value, UploadFile) else value
    return content


def _explain(problem: Any, kind: type[Message]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "body"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown field; the fields are: {', '.join(kind.model_fields)}"
    return f"{where}: {problem['msg']}"


def _as_form(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe the same message as a form: pictures are files, donors are one field per attribute."""
    form = copy.deepcopy(schema)
    picture = {"type": "string", "format": "binary"}
    for name, field in form["properties"].items():
        if "contentEncoding" in field:
            form["properties"][name] = picture
    if form["properties"].pop("donors", None):
        form["required"] = [name for name in form["required"] if name != "donors"]
        form["additionalProperties"] = {**picture, "description": "donors.<attribute>: the picture it is taken from."}
    return form
