"""What Kubernetes accepts: its own kinds by kubernetes-validate's schemas, KubeRay's kinds by the CRDs' schemas.

An API server may silently drop fields that a CRD's schema doesn't name. Here they are errors: every object with
properties is closed, unless the CRD says that it keeps unknown fields. Rules in CEL are not evaluated.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

OLDEST, NEWEST = "1.29", "1.37"  # of Kubernetes, that the manifests are held against
_FREE_METADATA = {"type": "object"}
_METADATA = {
    "type": "object",
    "required": ["name", "namespace"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}

Schema = dict[str, Any]


def check_core(document: Schema, version: str = NEWEST) -> None:
    """Raise jsonschema.ValidationError unless Kubernetes knows every field and takes its value."""
    kubernetes_validate.validate(document, version, strict=True)


def check_custom(document: Schema, crds: Path) -> None:
    """Raise jsonschema.ValidationError unless the kind's CRD has every field and takes its value."""
    _validator(crds, document["kind"], document["apiVersion"]).validate(document)


def close(schema: Any) -> Any:
    """Return the schema with every object that names its properties closed to others."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # The keys of `properties` are names, not keywords: a field may itself be called "properties".
    closed = {
        key: {name: close(child) for name, child in value.items()} if key == "properties" else close(value)
        for key, value in schema.items()
    }
    keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and not keeps_unknown:
        closed["additionalProperties"] = False
    return closed


@lru_cache(maxsize=8)
def _validator(crds: Path, kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    group, version = api_version.split("/")
    path = crds / f"{group}_{kind.lower()}s.yaml"
    definition = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (served,) = [item for item in definition["spec"]["versions"] if item["name"] == version and item["served"]]
    schema = served["schema"]["openAPIV3Schema"]
    if schema["properties"].get("metadata") == _FREE_METADATA:
        schema["properties"]["metadata"] = _METADATA
    return jsonschema.Draft202012Validator(close(schema))
