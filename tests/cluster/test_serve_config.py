"""The Serve config in rayservice.yaml: serve/deploy/config.yaml, but for the differences that a cluster needs."""

import ast
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from serve.deploy.app import ServeArgs
from tests.cluster.manifests import ROOT, get, of_kind, ray_cluster_spec, settings

# Place in the config: (serve/deploy/config.yaml, rayservice.yaml). Nothing else may differ.
DIFFERENCES: dict[str, tuple[Any, Any]] = {
    "proxy_location": ("HeadOnly", "EveryNode"),  # requests enter at the workers; the head may die
    "http_options.host": ("127.0.0.1", "0.0.0.0"),
    "applications.0.args.tracking_uri": ("http://127.0.0.1:5000", "http://mlflow:5000"),
    "applications.0.args.host": ("127.0.0.1", "0.0.0.0"),
    "applications.0.args.tokens": (None, "/etc/diffusegae/tokens.yaml"),
    "applications.0.args.cpus_per_replica": (1, 3),
    "applications.0.args.min_replicas": (1, 2),
    "applications.0.args.max_replicas": (2, 6),
    "applications.0.args.ingress_min_replicas": (None, 2),
    "applications.0.args.ingress_max_replicas": (None, 6),
    # One replica per node; replacements start before what they replace stops.
    "applications.0.deployments.0.name": (None, "Editor"),
    "applications.0.deployments.0.max_replicas_per_node": (None, 1),
    "applications.0.deployments.0.max_surge_percent": (None, 50),
    "applications.0.deployments.1.name": (None, "Ingress"),
    "applications.0.deployments.1.max_replicas_per_node": (None, 1),
    "applications.0.deployments.1.max_surge_percent": (None, 50),
    "applications.0.deployments.2.name": (None, "Jobs"),
    "applications.0.deployments.2.max_replicas_per_node": (None, 1),
    "applications.0.deployments.2.max_surge_percent": (None, 50),
}

Config = dict[str, Any]


@pytest.fixture
def local() -> Config:
    return dict(yaml.safe_load((ROOT / "serve" / "deploy" / "config.yaml").read_text()))


@pytest.fixture
def deployed() -> Config:
    return dict(yaml.safe_load(get("RayService", "editor")["spec"]["serveConfigV2"]))


def leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield place, node
        return
    for key, value in items:
        yield from leaves(value, f"{place}.{key}" if place else str(key))


def unknown_keys(model: Any, value: Any, place: str = "") -> list[str]:
    """Return the keys that a pydantic model would ignore; Serve's schema takes any."""
    if isinstance(value, list):
        inner = [argument for argument in get_args(model) or (model,)]
        return [name for item in value for name in unknown_keys(inner[0], item, place)]
    models = [item for item in (model, *get_args(model)) if isinstance(item, type) and issubclass(item, BaseModel)]
    if not isinstance(value, dict) or not models:
        return []
    fields = models[0].model_fields
    unknown = [f"{place}{key}" for key in value if key not in fields]
    below = [
        name
        for key, child in value.items()
        if key in fields
        for name in unknown_keys(fields[key].annotation, child, f"{place}{key}.")
    ]
    return unknown + below


def test_it_differs_from_the_local_one_in_what_is_listed_and_nothing_else(local: Config, deployed: Config) -> None:
    before, after = dict(leaves(local)), dict(leaves(deployed))
    found = {
        place: (before.get(place), after.get(place))
        for place in {**before, **after}
        if before.get(place) != after.get(place)
    }
    assert found == DIFFERENCES


def test_ray_serve_accepts_it_and_knows_every_key(deployed: Config) -> None:
    ServeDeploySchema.model_validate(deployed)
    assert unknown_keys(ServeDeploySchema, deployed) == []


def test_a_key_that_serve_would_ignore_is_noticed(deployed: Config) -> None:
    deployed["applications"][0]["deployments"][0]["max_replica_per_node"] = 1
    deployed["http_options"]["prot"] = 1
    ServeDeploySchema.model_validate(deployed)  # it says nothing
    assert sorted(unknown_keys(ServeDeploySchema, deployed)) == [
        "applications.deployments.max_replica_per_node",
        "http_options.prot",
    ]


def test_the_application_takes_its_arguments(deployed: Config) -> None:
    (application,) = deployed["applications"]
    arguments = ServeArgs(**application["args"])
    assert arguments.tracking_uri == settings()["MLFLOW_TRACKING_URI"]
    assert arguments.host == deployed["http_options"]["host"]
    with pytest.raises(ValidationError):
        ServeArgs(**application["args"], replicas=2)


def test_the_application_and_its_deployments_exist(deployed: Config) -> None:
    (application,) = deployed["applications"]
    module, _, name = application["import_path"].partition(":")
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    deployments = {
        keyword.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "serve.deployment"
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    assert deployments == {deployment["name"] for deployment in application["deployments"]}


def test_the_token_file_is_mounted_where_the_ingress_reads_it(deployed: Config) -> None:
    tokens = ServeArgs(**deployed["applications"][0]["args"]).tokens
    (group,) = ray_cluster_spec(get("RayService", "editor"))["workerGroupSpecs"]
    pod = group["template"]["spec"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if tokens.startswith(mount["mountPath"] + "/")]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert volume["secret"]["secretName"] == "editor-tokens"


def test_two_replicas_of_each_on_nodes_of_their_own_and_room_to_replace_them(deployed: Config) -> None:
    (application,) = deployed["applications"]
    arguments = ServeArgs(**application["args"])
    deployments = {deployment["name"]: deployment for deployment in application["deployments"]}
    assert arguments.min_replicas >= 2
    assert arguments.ingress_min_replicas >= 2
    for deployment in deployments.values():
        assert deployment["max_replicas_per_node"] == 1
        assert deployment["max_surge_percent"] > 0
    (group,) = ray_cluster_spec(get("RayService", "editor"))["workerGroupSpecs"]
    assert group["minReplicas"] >= arguments.min_replicas
    assert group["maxReplicas"] > arguments.max_replicas, "no node for a replacement under full load"
    cpus = float(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert arguments.cpus_per_replica + 0.1 <= cpus, "Editor and Ingress share a node"


def test_workers_listen_where_callers_knock(deployed: Config) -> None:
    port = deployed["http_options"]["port"]
    (group,) = ray_cluster_spec(get("RayService", "editor"))["workerGroupSpecs"]
    assert port in [entry["containerPort"] for entry in group["template"]["spec"]["containers"][0]["ports"]]
    assert deployed["http_options"]["host"] == "0.0.0.0"
    host = deployed["applications"][0]["args"]["tracking_uri"].removeprefix("http://")
    services = {f"{s.name}:{entry['port']}" for s in of_kind("Service") for entry in s.content["spec"]["ports"]}
    assert host in services


def test_old_pods_live_longer_than_a_request(deployed: Config) -> None:
    seconds = deployed["http_options"]["request_timeout_s"]
    spec = get("RayService", "editor")["spec"]
    (group,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > seconds
    assert spec["rayClusterDeletionDelaySeconds"] > seconds
