"""The bodies in the OpenAPI description: each message as JSON and as a form, with what the served models allow."""

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serve.http.checks import Limits, step_counts
from serve.http.messages import EditRequest, JobRequest, Message, RecombineRequest
from serve.http.parsing import FORM, JSON, NESTED
from serve.served import ServedModel

Json = dict[str, Any]
Has = Callable[[str, str, bool], Json]  # (field, attribute, True) to the schema of bodies whose field has the attribute
FILE: Json = {"type": "string", "format": "binary"}
OBJECTS = ("donors", "values", "strengths", "parts")  # fields that hold one entry per attribute
NUMBER = r"-?[0-9]{1,2}(\.[0-9]{1,9})?"


def describe_body(kind: type[Message], models: Sequence[ServedModel], limits: Limits) -> Json:
    """Return the description of a message's body in both forms."""
    content = {JSON: {"schema": _as_json(kind, models, limits)}, FORM: {"schema": _as_form(kind, models, limits)}}
    return {"required": True, "content": content}


def describe_jobs(operations: Mapping[str, type[Message]], models: Sequence[ServedModel], limits: Limits) -> Json:
    """Return the description of the body that begins a job of one of the operations, in both forms."""
    jobs = [_job(name, _as_json(kind, models, limits)) for name, kind in operations.items()]
    forms = [_job_form(name, _as_form(kind, models, limits, f"{NESTED}.")) for name, kind in operations.items()]
    # Which fields are files stands above the alternatives too, where programs look for it.
    files = {name: field for form in forms for name, field in form["properties"].items() if field == FILE}
    form = {"type": "object", "properties": files, "required": ["operation"], "oneOf": forms}
    return {"required": True, "content": {JSON: {"schema": {"oneOf": jobs}}, FORM: {"schema": form}}}


def _as_json(kind: type[Message], models: Sequence[ServedModel], limits: Limits) -> Json:
    schema = _schema(kind, models, limits)
    rules = _rules(kind, schema["properties"], _inside)
    return {**schema, "allOf": rules} if rules else schema


def _schema(kind: type[Message], models: Sequence[ServedModel], limits: Limits) -> Json:
    """Return a message's schema with the limits, and the models' attributes where there are models."""
    schema = kind.model_json_schema()
    fields = schema["properties"]
    for name, maximum in (("size", limits.max_size), ("frames", limits.max_frames), ("steps", limits.max_steps)):
        if name in fields:
            _integer(fields[name])["maximum"] = maximum
    if "frames" in fields:
        fields["frames"]["default"] = min(fields["frames"]["default"], limits.max_frames)
    if models:
        _name_models(fields, models, limits)
    return schema


def _name_models(fields: Json, models: Sequence[ServedModel], limits: Limits) -> None:
    """Put the attributes, values, steps and sizes of the models into the fields of a schema; changes it in place."""
    if "steps" in fields:
        counts = {count for model in models for count in step_counts(model, limits)}
        _integer(fields["steps"])["enum"] = sorted(counts)
    attributes = list(dict.fromkeys(name for model in models for name in model.attributes.names))
    for name in OBJECTS:
        if name in fields:
            entry = fields[name]["additionalProperties"]
            entries = {attribute: _entry(name, attribute, entry, models) for attribute in attributes}
            known = {attribute: described for attribute, described in entries.items() if described is not None}
            fields[name] |= {"properties": known, "additionalProperties": False}
    if "parts" in fields:
        everywhere = [name for name in attributes if all(name in model.attributes.names for model in models)]
        fields["parts"]["required"] = everywhere
    if "attributes" in fields:
        fields["attributes"]["items"]["enum"] = attributes
    if "anyOf" in fields.get("x_T", {}):
        lengths = [4 * math.ceil(4 * 3 * model.image_size**2 / 3) for model in models]
        fields["x_T"]["anyOf"][1] |= {"minLength": min(lengths), "maxLength": max(lengths)}


def _entry(field: str, attribute: str, entry: Json, models: Sequence[ServedModel]) -> Json | None:
    """Return what a field may hold for an attribute, None if nothing."""
    if field == "values":
        known = dict.fromkeys(value for model in models for value in model.centroid_values.get(attribute, ()))
        return {"type": "string", "enum": list(known)} if known else None
    if field == "parts":
        widths = [each.width for model in models for each in model.attributes.attributes if each.name == attribute]
        return {**entry, "minItems": min(widths), "maxItems": max(widths)}
    return entry


def _rules(kind: type[Message], fields: Json, has: Has) -> list[Json]:
    """Return what must hold between donors, values and strengths, for the attributes that are known."""
    attributes = fields.get("donors", {}).get("properties", {})
    sources = {
        attribute: [name for name in ("donors", "values") if attribute in fields[name]["properties"]]
        for attribute in attributes
    }
    given = {attribute: [has(name, attribute, True) for name in names] for attribute, names in sources.items()}
    if kind is RecombineRequest:
        return [{"oneOf": each} for each in given.values()]
    if kind is not EditRequest or not attributes:
        return []
    rules: list[Json] = [{"anyOf": [each for sources in given.values() for each in sources]}]
    for attribute, names in sources.items():
        neither = {"allOf": [has(name, attribute, False) for name in (*names, "strengths")]}
        rules.append({"oneOf": [*given[attribute], neither]})
    return rules


def _inside(field: str, attribute: str, is_there: bool) -> Json:
    if not is_there:
        return {"properties": {field: {"properties": {attribute: False}}}}
    return {"required": [field], "properties": {field: {"required": [attribute]}}}


def _integer(field: Json) -> Json:
    """Return the part of a field's schema that describes the number, not its absence."""
    found: Json = next((each for each in field.get("anyOf", ()) if each.get("type") == "integer"), field)
    return found


def _as_form(kind: type[Message], models: Sequence[ServedModel], limits: Limits, prefix: str = "") -> Json:
    """Describe the same message as a form: pictures are files, and what is one entry per attribute one field each."""
    schema = _schema(kind, models, limits)
    form: Json = {"title": f"{schema['title']}Form", "type": "object", "additionalProperties": False}
    form |= {"description": schema.get("description", ""), "properties": {}, "required": []}
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        if name not in OBJECTS:
            form["properties"][f"{prefix}{name}"] = _as_field(field)
            form["required"] += [f"{prefix}{name}"] if name in required else []
        elif "properties" in field:
            for attribute, entry in field["properties"].items():
                form["properties"][f"{prefix}{name}.{attribute}"] = _as_field(entry)
            form["required"] += [f"{prefix}{name}.{attribute}" for attribute in field.get("required", ())]
        else:
            pattern = f"^{_escaped(prefix + name)}\\."
            form.setdefault("patternProperties", {})[pattern] = _as_field(field["additionalProperties"])

    def has(field: str, attribute: str, is_there: bool) -> Json:
        name = f"{prefix}{field}.{attribute}"
        return {"required": [name]} if is_there else {"properties": {name: False}}

    rules = _rules(kind, schema["properties"], has)
    return {**form, "allOf": rules} if rules else form


def _as_field(field: Json) -> Json:
    """Describe one field of a form: a file, or text that holds a value."""
    if field.get("format") == "picture":
        return FILE
    about: Json = {name: field[name] for name in ("title", "description") if name in field}
    if field.get("type") == "array":
        about["description"] = f"{field.get('description', '')} Separated by commas.".strip()
        return {"type": "string", **about, **_separated(field)}
    choices = [each for each in field.get("anyOf", ()) if each.get("type") != "null"]
    return {**choices[0], **about} if len(choices) == 1 else copy.deepcopy(field)


def _separated(field: Json) -> Json:
    """Return the pattern of a list that is written with commas, if it is known what it holds."""
    items = field["items"]
    if "enum" in items:
        names = "|".join(_escaped(name) for name in items["enum"])
        return {"pattern": f"^(({names})(,({names}))*)?$"}
    if "minItems" in field and items.get("type") == "number":
        return {"pattern": f"^{NUMBER}(,{NUMBER}){{{field['minItems'] - 1},{field['maxItems'] - 1}}}$"}
    return {}


def _escaped(name: str) -> str:
    """Return a name as a regular expression of JavaScript, which knows fewer escapes than Python."""
    return re.sub(r"([.*+?^${}()|\[\]\\/])", r"\\\1", name)


def _job(name: str, schema: Json) -> Json:
    own = JobRequest.model_json_schema()
    fields = {**own["properties"], "operation": {"const": name, "type": "string"}, NESTED: schema}
    return {**own, "title": f"{name.capitalize()}Job", "properties": fields}


def _job_form(name: str, form: Json) -> Json:
    fields = {"operation": {"const": name, "type": "string"}, **form["properties"]}
    return {**form, "properties": fields, "required": ["operation", *form["required"]]}
