"""ray_cluster.yaml against Ray's own schema and preparation, and what it promises: GPU, spot, roles, a token."""

from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.manifests import RAY_UP


@pytest.fixture
def config() -> dict[str, Any]:
    return dict(yaml.safe_load(RAY_UP.read_text()))


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = prepare_config(deepcopy(config))
    validate_config(result)
    return result


def test_ray_accepts_it(config: dict[str, Any]) -> None:
    assert set(prepared(config)["available_node_types"]) == {"head", "gpu", "cpu-spot"}


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ((), "max_wrkers", 3),
        (("docker",), "imge", "x"),
        (("available_node_types", "gpu"), "max_worker", 3),
        (("available_node_types", "gpu", "resources"), "GPU", "one"),
    ],
)
def test_ray_refuses_a_misspelt_key_or_wrong_value(
    config: dict[str, Any], place: tuple[str, ...], key: str, value: object
) -> None:
    node = config
    for name in place:
        node = node[name]
    node[key] = value
    with pytest.raises(jsonschema.ValidationError):
        prepared(config)


def test_gpu_workers_are_on_demand_and_cpu_workers_on_spot(config: dict[str, Any]) -> None:
    types = prepared(config)["available_node_types"]
    market = {name: node["node_config"].get("InstanceMarketOptions", {}) for name, node in types.items()}
    assert market == {"head": {}, "gpu": {}, "cpu-spot": {"MarketType": "spot"}}
    assert types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["docker"]["worker_image"].endswith("-gpu")
    assert "GPU" not in types["cpu-spot"]["resources"]
    assert types["head"]["resources"] == {"CPU": 0}, "the head must not be given work"
    assert types["gpu"]["max_workers"] + types["cpu-spot"]["max_workers"] <= config["max_workers"]


def test_every_machine_has_a_role_and_none_a_key(config: dict[str, Any]) -> None:
    for node in config["available_node_types"].values():
        assert node["node_config"]["IamInstanceProfile"]["Name"]
    assert not set(config["auth"]) - {"ssh_user"}


def test_the_token_is_asked_for_and_comes_from_the_users_own_file(config: dict[str, Any]) -> None:
    assert any("RAY_AUTH_MODE=token" in option for option in config["docker"]["run_options"])
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


def test_nothing_is_installed_when_a_node_starts(config: dict[str, Any]) -> None:
    """Ray's AWS defaults would put a nightly wheel of Ray into the image."""
    result = prepared(config)
    assert result["setup_commands"] == result["head_setup_commands"] == result["worker_setup_commands"] == []
