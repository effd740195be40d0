"""What every workload must have: an account, limits, no root, no secret; and what each kind of Ray must have."""

import re
from pathlib import Path

import pytest

from tests.cluster.manifests import (
    ROOT,
    Manifest,
    Pod,
    deployment_files,
    get,
    manifests,
    of_kind,
    pods,
    ray_cluster_spec,
)

ACCOUNTS = {manifest.name: manifest.content for manifest in of_kind("ServiceAccount")}
ROLE = "eks.amazonaws.com/role-arn"
JOBS = ("ingest", "train", "tune")
SECRET_PATTERNS = (
    r"AKIA[0-9A-Z]{16}",
    r"(?i)aws_secret_access_key\s*[:=]\s*\S",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"(?i)\b(password|token|secret)\b[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9+/]{12,}[\"']?\s*$",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
)
every_pod = pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod.owner)


@every_pod
def test_every_pod_names_an_account_that_exists(pod: Pod) -> None:
    assert pod.spec["serviceAccountName"] in ACCOUNTS


@every_pod
def test_only_who_asks_the_kubernetes_api_gets_its_token(pod: Pod) -> None:
    account = ACCOUNTS[pod.spec["serviceAccountName"]]
    mounts = pod.spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    has_autoscaler = pod.labels.get("ray.io/node-type") == "head"
    assert mounts == (has_autoscaler or pod.labels["app.kubernetes.io/component"] == "prometheus")


@every_pod
def test_every_container_has_requests_and_limits(pod: Pod) -> None:
    for container in pod.containers:
        for amount in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][amount]), container["name"]


@every_pod
def test_no_pod_runs_as_root_or_may_become_it(pod: Pod) -> None:
    context = pod.spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod.containers:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "runAsUser", "runAsNonRoot"} & set(own)


@every_pod
def test_variables_of_services_do_not_leak_into_pods(pod: Pod) -> None:
    """A Service called mlflow would set MLFLOW_PORT=tcp://… in every pod of the namespace."""
    assert pod.spec["enableServiceLinks"] is False


@pytest.mark.parametrize("manifest", manifests(), ids=lambda manifest: manifest.label)
def test_everything_is_in_the_one_namespace_and_none_is_a_secret(manifest: Manifest) -> None:
    assert manifest.kind != "Secret", "secrets are the user's to make; cluster/README.md says how"
    if manifest.kind != "Namespace":
        assert manifest.content["metadata"]["namespace"] == "diffusegae"


@pytest.mark.parametrize("path", deployment_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_holds_a_secret(path: Path) -> None:
    for pattern in SECRET_PATTERNS:
        assert not re.search(pattern, path.read_text(), re.MULTILINE), pattern


def test_the_search_for_secrets_finds_some() -> None:
    made_up = ["AKIA" + "A" * 16, "password: " + "x1" * 8, "AWS_SECRET_ACCESS_KEY=" + "y", 'token: "' + "z9" * 10 + '"']
    for text in made_up:
        assert any(re.search(pattern, text, re.MULTILINE) for pattern in SECRET_PATTERNS), text


def test_passwords_come_from_secrets() -> None:
    named = {
        (variable["name"], reference["name"])
        for pod in pods()
        for container in pod.containers
        for variable in container.get("env", ())
        if (reference := variable.get("valueFrom", {}).get("secretKeyRef"))
    }
    assert named == {
        ("POSTGRES_PASSWORD", "postgres"),
        ("REDIS_PASSWORD", "redis"),
        ("REDISCLI_AUTH", "redis"),
        ("GF_SECURITY_ADMIN_PASSWORD", "grafana"),
    }
    secretive = [
        variable["name"]
        for pod in pods()
        for container in pod.containers
        for variable in container.get("env", ())
        if re.search("PASSWORD|TOKEN|SECRET|AUTH", variable["name"]) and "value" in variable
    ]
    assert not secretive


def test_every_secret_is_explained() -> None:
    text = (ROOT / "cluster" / "README.md").read_text()
    for name in ("ray-auth", "redis", "postgres", "grafana", "s3"):
        assert f"create secret generic {name} " in text


def test_cloud_rights_come_from_roles_and_the_editor_has_none() -> None:
    roles = {name for name, account in ACCOUNTS.items() if ROLE in account["metadata"].get("annotations", {})}
    assert roles == {"ray-jobs", "mlflow"}
    assert {pod.spec["serviceAccountName"] for pod in pods() if "RayService" in pod.owner} == {"ray-editor"}


@pytest.mark.parametrize("manifest", of_kind("RayCluster", "RayJob", "RayService"), ids=lambda manifest: manifest.label)
def test_every_ray_cluster_asks_for_the_token_and_keeps_work_off_its_head(manifest: Manifest) -> None:
    cluster = ray_cluster_spec(manifest.content)
    assert cluster["authOptions"] == {"mode": "token", "secretName": "ray-auth"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    autoscaler = cluster["autoscalerOptions"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert autoscaler["version"] == "v2"
    assert {"cpu", "memory"} <= set(autoscaler["resources"]["limits"])
    assert autoscaler["securityContext"]["allowPrivilegeEscalation"] is False
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize("name", JOBS)
def test_jobs_retry_end_in_time_and_clean_up(name: str) -> None:
    spec = get("RayJob", name)["spec"]
    assert spec["submissionMode"] == "K8sJobMode"
    assert spec["backoffLimit"] >= 1
    assert spec["shutdownAfterJobFinishes"] is True
    assert 0 < spec["ttlSecondsAfterFinished"] <= 86400
    assert 0 < spec["preRunningDeadlineSeconds"] < spec["activeDeadlineSeconds"]


def test_gpus_are_on_demand_and_spot_nodes_have_none() -> None:
    for name in JOBS:
        for group in ray_cluster_spec(get("RayJob", name))["workerGroupSpecs"]:
            pod = group["template"]["spec"]
            has_gpu = "nvidia.com/gpu" in pod["containers"][0]["resources"]["limits"]
            is_spot = pod.get("nodeSelector", {}).get("eks.amazonaws.com/capacityType") == "SPOT"
            assert has_gpu != is_spot, group["groupName"]
            assert pod["containers"][0]["image"].endswith("-gpu" if has_gpu else "-cpu")


def test_the_editors_head_may_die() -> None:
    spec = get("RayService", "editor")["spec"]
    tolerance = spec["rayClusterConfig"]["gcsFaultToleranceOptions"]
    services = {service.name: service.content["spec"] for service in of_kind("Service")}
    host, port = tolerance["redisAddress"].split(":")
    assert int(port) in [entry["port"] for entry in services[host]["ports"]]
    assert tolerance["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "redis", "key": "password"}
    assert "externalStorageNamespace" not in tolerance, "two clusters of an upgrade would overwrite each other"
    assert spec["excludeHeadPodFromServeSvc"] is True


def test_the_editor_is_upgraded_to_a_second_cluster_and_the_first_may_finish() -> None:
    spec = get("RayService", "editor")["spec"]
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec["rayClusterDeletionDelaySeconds"] > 120, "longer than a request may take"


def test_the_editors_workers_are_spread_over_nodes() -> None:
    (group,) = get("RayService", "editor")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["minReplicas"] >= 2
    pod = group["template"]
    spread = {rule["topologyKey"]: rule for rule in pod["spec"]["topologySpreadConstraints"]}
    by_node = spread["kubernetes.io/hostname"]
    assert (by_node["maxSkew"], by_node["whenUnsatisfiable"]) == (1, "DoNotSchedule")
    assert "topology.kubernetes.io/zone" in spread
    budget = get("PodDisruptionBudget", "editor")["spec"]
    for selector in (by_node["labelSelector"], budget["selector"]):
        assert selector["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert budget["minAvailable"] >= 1


@pytest.mark.parametrize("name", ["redis", "postgres", "prometheus"])
def test_databases_keep_their_data_on_volumes(name: str) -> None:
    content = get("StatefulSet", name)["spec"]
    (claim,) = content["volumeClaimTemplates"]
    mounts = {mount["name"] for mount in content["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert claim["metadata"]["name"] in mounts
    assert claim["spec"]["resources"]["requests"]["storage"]


def test_mlflow_keeps_runs_in_postgres_and_artifacts_on_s3() -> None:
    (container,) = get("Deployment", "mlflow")["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    names = [variable["name"] for variable in container["env"]]
    assert variables["MLFLOW_BACKEND_STORE_URI"].startswith(
        "postgresql+psycopg2://mlflow:$(POSTGRES_PASSWORD)@postgres:"
    )
    # Kubernetes fills in only what is defined further up.
    assert names.index("POSTGRES_PASSWORD") < names.index("MLFLOW_BACKEND_STORE_URI")
    settings = get("ConfigMap", "settings")["data"]
    assert settings["MLFLOW_ARTIFACTS_DESTINATION"].startswith("s3://")
    assert settings["DIFFUSEGAE_STORAGE"].startswith("s3://")
    assert {"configMapRef": {"name": "settings"}} in container["envFrom"]


def test_mlflow_answers_to_the_name_that_clients_use() -> None:
    (container,) = get("Deployment", "mlflow")["spec"]["template"]["spec"]["containers"]
    (allowed,) = [argument for argument in container["args"] if argument.startswith("--allowed-hosts=")]
    host = get("ConfigMap", "settings")["data"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
    assert host in allowed.removeprefix("--allowed-hosts=").split(",")


def test_services_lead_to_pods() -> None:
    labels = [pod.labels for pod in pods()]
    for service in of_kind("Service"):
        selector = service.content["spec"]["selector"].items()
        assert any(selector <= found.items() for found in labels), service.name
