"""The chart: Helm's own library renders it, Kubernetes' schemas take the objects, and they are what docs promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from apimetry.cli.environment import misspelt
from apimetry.cli.main import COMMANDS
from apimetry.cli.settings import load
from tests.support.tools import package

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "apimetry"
NEWEST_KUBERNETES, OLDEST_KUBERNETES = "1.37", "1.28"
pytestmark = [
    package("helm_python", "make deploy-tools"),
    package("kubernetes_validate", "make deploy-tools"),
]
EVERYTHING = {
    "query": {"settings": {"APIMETRY_MAX_QUERY_MEMORY_BYTES": 1073741824, "APIMETRY_PRICE_PER_BYTE": 0.0000002}},
    "secret": {"others": ["smtp-password", "bootstrap-admin-key"]},
    "settings": {"APIMETRY_CLUSTER": "main", "APIMETRY_LOG_LEVEL": "debug"},
    "collector": {
        "replicas": 3,
        "spool": {"storageClass": "fast"},
        "settings": {"APIMETRY_EVENTS_PER_S_PER_KEY": 500},
    },
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls", "annotations": {"a/b": "c"}},
    "networkPolicy": {
        "queryFrom": [{"namespaceSelector": {}}],
        "store": {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    },
    "podAnnotations": {"x": "y"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "imagePullSecrets": [{"name": "registry"}],
}
WAYS = {
    "default": {},
    "everything": EVERYTHING,
    "sidecar": {"mode": "sidecar"},
    "least": {
        "collector": {"replicas": 1},
        "query": {"replicas": 1},
        "migration": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
    },
}


def render(values):
    """Return the objects that the chart makes, by kind and name."""
    from helm_python.chart import Chart

    with Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values=values, name="shop", namespace="metrics")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def pods(objects):
    """Return the pod specifications of all objects, by the object's name, with the sidecar's as one."""
    specifications = {
        name: document["spec"]["template"]["spec"]
        for (kind, name), document in objects.items()
        if kind in {"Deployment", "StatefulSet", "Job"}
    }
    for (kind, name), document in objects.items():
        if kind == "ConfigMap":
            specifications[name] = {
                "containers": [{"name": "app", "image": "app"}],
                **yaml.safe_load(document["data"]["sidecar.yaml"]),
            }
    return specifications


def containers(pod):
    """Return the containers of ours."""
    return [
        container for container in [*pod.get("initContainers", []), *pod["containers"]] if container["image"] != "app"
    ]


@pytest.fixture(scope="module", params=WAYS, ids=list(WAYS))
def objects(request):
    return render(WAYS[request.param])


@pytest.mark.parametrize(
    ("way", "version"),
    [
        ("default", NEWEST_KUBERNETES),
        ("everything", NEWEST_KUBERNETES),
        ("everything", OLDEST_KUBERNETES),
        ("sidecar", OLDEST_KUBERNETES),
        ("least", NEWEST_KUBERNETES),
    ],
)
def test_kubernetes_takes_every_object(way, version):
    import kubernetes_validate

    objects = render(WAYS[way])

    assert len(objects) > 2
    for document in objects.values():
        kubernetes_validate.validate(document, version, strict=True)
    for name, pod in pods(objects).items():
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
        kubernetes_validate.validate(whole, version, strict=True)


def test_containers_have_no_rights_and_write_to_their_volumes_alone(objects):
    for pod in pods(objects).values():
        for container in containers(pod):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            claimed = {"spool"} if "volumes" in pod and "data" not in mounted else set()
            assert mounted <= {volume["name"] for volume in pod["volumes"]} | claimed


def test_containers_run_commands_with_settings_that_exist(objects):
    for pod in pods(objects).values():
        for container in containers(pod):
            assert set(container["args"]) <= set(COMMANDS)
            names = [variable["name"] for variable in container["env"]]
            assert len(names) == len(set(names))
            environment = {variable["name"]: variable["value"] for variable in container["env"]}
            assert list(misspelt(environment)) == []
            load({}, {name: value for name, value in environment.items() if not name.endswith("_FILE")})


def test_no_secret_stands_in_an_object_only_its_file(objects):
    assert "Secret" not in {kind for kind, _ in objects}
    for pod in pods(objects).values():
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
        files = {f"/run/secrets/apimetry/{item['path']}" for item in volume["secret"]["items"]}
        for container in containers(pod):
            named = {variable["value"] for variable in container["env"] if variable["name"].endswith("_FILE")}
            assert named == files


def test_every_service_and_budget_selects_the_pods_of_one_workload(objects):
    labels = {
        name: document["spec"]["template"]["metadata"]["labels"]
        for (kind, name), document in objects.items()
        if kind in {"Deployment", "StatefulSet"}
    }
    for (kind, name), document in objects.items():
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(kind)
        if selector is None:
            continue
        selected = [other for other, have in labels.items() if selector(document["spec"]).items() <= have.items()]
        assert len(selected) == 1, name
        assert name.startswith(selected[0])


def test_every_workload_that_serves_is_probed_and_drains_within_its_grace(objects):
    for (kind, _), document in objects.items():
        if kind in {"Deployment", "StatefulSet"}:
            pod = document["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
            assert container["livenessProbe"]["httpGet"]["path"] == "/health"
            assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
            # The stop of a service takes ten seconds (docs/operations.md), after five of the hook.
            assert pod["terminationGracePeriodSeconds"] > 15


def test_a_spool_outlives_its_pod_and_the_release():
    collector = render({})["StatefulSet", "shop-apimetry-collector"]["spec"]
    assert [claim["metadata"]["name"] for claim in collector["volumeClaimTemplates"]] == ["spool"]
    assert collector["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_a_sidecar_starts_before_its_application_and_stops_after_it():
    objects = render({"mode": "sidecar"})
    assert ("StatefulSet", "shop-apimetry-collector") not in objects
    (container,) = pods(objects)["shop-apimetry-sidecar"]["initContainers"]
    assert container["restartPolicy"] == "Always"
    assert {"name": "APIMETRY_HOST", "value": "127.0.0.1"} in container["env"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"mode": "both"}, "mode"),
        ({"collektor": {}}, "collektor"),
        ({"settings": {"store": "x"}}, "store"),
        ({"collector": {"replicas": 0}}, "replicas"),
    ],
)
def test_values_that_do_not_exist_are_refused_by_name(values, named):
    with pytest.raises(Exception, match=named):
        render(values)


def test_defaults_are_all_in_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) <= set(schema)
