"""The OpenAPI description of bodies, answers and problems, beyond what FastAPI reads from the routes.

It follows the limits and the models of the moment: attributes, values and numbers of steps are listed by name. Rules
between fields that JSON Schema cannot hold are in the descriptions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from serve.http.answers import PicturesResponse
from serve.http.bodies import describe_body, describe_jobs
from serve.http.checks import ENDPOINTS, Limits
from serve.http.events import MEDIA_TYPE as EVENTS
from serve.http.messages import EncodeRequest, Message
from serve.http.parsing import JSON
from serve.http.pictures import MEDIA_TYPES
from serve.http.service import Service
from serve.problems import MEDIA_TYPE, Problem, ProblemDetails
from serve.served import ServedModel

Json = dict[str, Any]
PREFIX = "/v1"
COMPONENTS = "#/components/schemas/"
BODIES: Mapping[str, type[Message]] = {
    "/v1/encode": EncodeRequest,
    **{f"{PREFIX}/{name}": endpoint.message for name, endpoint in ENDPOINTS.items()},
}
JOBS = "/v1/jobs"
OF_A_JOB = ("job", "job_events", "job_result", "cancel_job")  # operations that take the id which starting one gives
REASONS: Mapping[int, str] = {
    400: "The body is neither JSON nor a form as it says.",
    401: "A token is needed.",
    403: "The request comes from a page of another site.",
    404: "There is no such thing; the detail says what there is.",
    406: "The answer has none of the forms that the client accepts.",
    409: "The job has no result, or not yet.",
    413: "The request or a picture is too large.",
    415: "Neither JSON nor a form.",
    422: "The request asks for something that the model cannot do; the detail says what it can.",
    429: "More requests than the token allows; wait.",
    500: "The service failed.",
    503: "The model is overloaded or starting; try again.",
    504: "It is not done in the time that a request may take; ask for less, or begin a job.",
}
HEADERS: Mapping[int, Json] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "How to send a token."}},
    429: {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds to wait."}},
    503: {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds to wait."}},
}
EVERYWHERE = (401, 403, 429, 500, 503)
OF_BODIES = (400, 404, 406, 413, 415, 422)
OF_ROUTES: Mapping[tuple[str, str], tuple[int, ...]] = {
    (JOBS, "post"): OF_BODIES[:2] + OF_BODIES[3:],
    ("/v1/schema", "get"): (404, 422),
    (f"{JOBS}/{{id}}", "get"): (404,),
    (f"{JOBS}/{{id}}", "delete"): (404,),
    (f"{JOBS}/{{id}}/events", "get"): (404, 406),
    (f"{JOBS}/{{id}}/result", "get"): (404, 406, 409),
    **{(path, "post"): (*OF_BODIES, 504) for path in BODIES},
}
WITH_MODEL = (*BODIES, JOBS, "/v1/schema")


def complete(api: Json, service: Service, limits: Limits) -> Json:
    """Add bodies, parameters, answers and problems to FastAPI's description of the routes; changes it in place."""
    models = _models_of(service)
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            _replace_validation_error(path, responses)
            for status in (*OF_ROUTES.get((path, method), ()), *EVERYWHERE):
                responses.setdefault(str(status), _problem(status))
            operation["responses"] = dict(sorted(responses.items()))
        if path in WITH_MODEL:
            (operation,) = methods.values()
            operation.setdefault("parameters", []).append(_model_parameter(models))
    for path, kind in BODIES.items():
        operation = api["paths"][path]["post"]
        operation["requestBody"] = describe_body(kind, models, limits)
        operation["responses"]["200"] |= _generated(kind)
    _complete_jobs(api["paths"], models, limits)
    schemas = api["components"]["schemas"]
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return api


def _complete_jobs(paths: Json, models: Sequence[ServedModel], limits: Limits) -> None:
    from_jobs = {name: endpoint.message for name, endpoint in ENDPOINTS.items()}
    start = paths[JOBS]["post"]
    start["requestBody"] = describe_jobs(from_jobs, models, limits)
    location = {"schema": {"type": "string"}, "description": "Where to ask for the job."}
    links = {id: {"operationId": id, "parameters": {"id": "$response.body#/id"}} for id in OF_A_JOB}
    start["responses"]["202"] |= {"headers": {"Location": location}, "links": links}
    paths[f"{JOBS}/{{id}}/events"]["get"]["responses"]["200"] |= {"content": {EVENTS: _events()}}
    paths[f"{JOBS}/{{id}}/result"]["get"]["responses"]["200"] |= _pictures(list(MEDIA_TYPES.values()))


def _models_of(service: Service) -> tuple[ServedModel, ...]:
    """Return the models, none while the service is still without: then the description lacks their names."""
    try:
        return service.all_served()
    except Problem:
        return ()


def _generated(kind: type[Message]) -> Json:
    model = {"X-Model": {"schema": {"type": "string"}, "description": "Name and version that made the answer."}}
    if kind is EncodeRequest:
        return {"headers": model}
    formats = kind.model_json_schema()["properties"]["format"]["enum"]
    return {"headers": model, **_pictures([MEDIA_TYPES[name] for name in formats])}


def _pictures(media_types: Sequence[str]) -> Json:
    file = {"schema": {"type": "string", "format": "binary"}}
    one_by_one = {"schema": {"$ref": f"{COMPONENTS}{PicturesResponse.__name__}"}}
    content = {**dict.fromkeys(media_types, file), JSON: one_by_one, EVENTS: _events()}
    return {"description": "One file, each picture in JSON, or events, by the Accept header.", "content": content}


def _events() -> Json:
    """Describe each event of a stream, as OpenAPI 3.2 does and 3.1 leaves open."""
    about = (
        'progress has the data {"step": 3, "steps": 200, "images": [PNG in base64, ...]}; in the end done'
        " has the JSON answer, or problem has a problem."
    )
    data = {"type": "string", "contentMediaType": JSON}
    fields: Json = {"event": {"enum": ["progress", "done", "problem"]}, "data": data}
    return {"schema": {"type": "object", "required": list(fields), "properties": fields, "description": about}}


def _problem(status: int) -> Json:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{COMPONENTS}ProblemDetails"}}}
    described: Json = {"description": REASONS[status], "content": content}
    return described | ({"headers": HEADERS[status]} if status in HEADERS else {})


def _replace_validation_error(path: str, responses: Json) -> None:
    """Drop the 422 that FastAPI gives every route with parameters: ours are problems, and few routes have them."""
    content = responses.get("422", {}).get("content", {})
    if "HTTPValidationError" in str(content.get(JSON, {})):
        del responses["422"]
        if not path.startswith(JOBS):
            responses["422"] = _problem(422)


def _model_parameter(models: Sequence[ServedModel]) -> Json:
    schema: Json = {"type": "string"}
    if models:
        schema |= {"enum": [model.alias for model in models], "default": models[0].alias}
    return {"name": "model", "in": "query", "required": False, "schema": schema, "description": "Which model answers."}


def require_tokens(description: Json, open_paths: Sequence[str]) -> None:
    """Add to a description that requests need a bearer token, except for some paths; changes it in place."""
    scheme = {"type": "http", "scheme": "bearer", "description": "A token of this service."}
    description["components"]["securitySchemes"] = {"token": scheme}
    description["security"] = [{"token": []}]
    for path in open_paths:
        for operation in description["paths"][path].values():
            operation["security"] = []
