"""The Kubernetes manifests: valid by the schemas of Kubernetes, and true to each other and to the image."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from hub.config import load
from hub.settings import Settings
from tests import image
from tests.conftest import ROOT

FOLDER = ROOT / "docker/kubernetes"
MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
VERSIONS = ("1.30", "1.37")  # the oldest that is meant to work, and the newest that the validator knows
SETTINGS = {field.name.upper() for field in dataclasses.fields(Settings)}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in MANIFESTS:
        for document in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")):
            yield name, document


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return {f"{document['kind']}/{document['metadata']['name']}": document for _, document in documents()}


@pytest.fixture(scope="module")
def pod(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return found["Deployment/price-hub"]["spec"]["template"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    for _, document in documents():
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_field_would_be_noticed(found: dict[str, dict[str, Any]]) -> None:
    wrong = {**found["Service/backend"], "spec": {**found["Service/backend"]["spec"], "publishNotReady": True}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_kustomization_takes_every_manifest_but_the_example_of_a_secret() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert sorted([*kustomization["resources"], "secret.example.yaml"]) == MANIFESTS
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]["backend"]["image"]
    (replaced,) = kustomization["images"]
    assert compose == f"{replaced['name']}:${{PRICE_HUB_VERSION:-{replaced['newTag']}}}"


def test_there_is_one_hub_at_a_time(found: dict[str, dict[str, Any]]) -> None:
    spec = found["Deployment/price-hub"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_selectors_find_the_hub(found: dict[str, dict[str, Any]], pod: dict[str, Any]) -> None:
    labels = pod["metadata"]["labels"].items()
    spec = found["Deployment/price-hub"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= labels
    assert found["Service/backend"]["spec"]["selector"].items() <= labels
    assert found["NetworkPolicy/price-hub"]["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert "selector" not in found["Service/closed"]["spec"]


def test_bots_find_it_at_backend_5000(found: dict[str, dict[str, Any]], pod: dict[str, Any]) -> None:
    (port,) = found["Service/backend"]["spec"]["ports"]
    (opened,) = pod["spec"]["containers"][0]["ports"]
    assert (port["port"], port["targetPort"], opened["containerPort"]) == (5000, opened["name"], 5000)
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "5000"


def test_every_way_of_the_ingress_leads_to_a_service(found: dict[str, dict[str, Any]]) -> None:
    (rule,) = found["Ingress/price-hub"]["spec"]["rules"]
    ways = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
    for service in ways.values():
        names = [port["name"] for port in found[f"Service/{service['name']}"]["spec"]["ports"]]
        assert service["port"]["name"] in names
    assert ways.pop("/")["name"] == "backend"
    assert {service["name"] for service in ways.values()} == {"closed"}  # which ones: test_nginx_closed.py
    prefixed = {path for path in ways if path.startswith("/api/")}
    assert prefixed == {f"/api{path}" for path in set(ways) - prefixed}
    assert not any("/alert".startswith(path) for path in ways), "a prefix goes by whole parts: /alerts is no /alert"
    assert found["Ingress/price-hub"]["spec"]["tls"][0]["hosts"] == [rule["host"]]


def test_nobody_is_trusted_to_name_an_address_until_somebody_says_who(found: dict[str, dict[str, Any]]) -> None:
    assert "TRUSTED_PROXIES" not in found["ConfigMap/price-hub"]["data"]
    told = re.search(r"(?m)^  # TRUSTED_PROXIES: (\S+)$", (FOLDER / "settings.yaml").read_text(encoding="utf-8"))
    assert told is not None, "the place to fill it in"
    (example,) = load([], {"TRUSTED_PROXIES": told[1]}, None).settings.trusted_proxies
    assert example.num_addresses <= 16, "an example of few addresses"


def test_of_other_namespaces_only_named_pods_reach_the_hub(found: dict[str, dict[str, Any]]) -> None:
    (rule,) = found["NetworkPolicy/price-hub"]["spec"]["ingress"]
    own, *others = rule["from"]
    assert own == {"podSelector": {}}
    assert len(others) == 2
    for peer in others:
        assert peer["namespaceSelector"]["matchLabels"]
        assert peer["podSelector"]["matchLabels"]


def test_one_address_can_not_ask_without_an_end(found: dict[str, dict[str, Any]]) -> None:
    told = found["Ingress/price-hub"]["metadata"]["annotations"]
    assert all(isinstance(value, str) for value in told.values()), "Kubernetes takes no numbers here"
    rate, burst = re.findall(r"zone=price_hub_requests:10m rate=(\d+)r/s|zone=price_hub_requests burst=(\d+)",
                             (ROOT / "docker/nginx-site.conf").read_text(encoding="utf-8"))  # fmt: skip
    rate, burst = int(rate[0]), int(burst[1])
    nginx = "nginx.ingress.kubernetes.io/limit-"
    assert int(told[nginx + "rps"]) == rate
    assert int(told[nginx + "rps"]) * int(told[nginx + "burst-multiplier"]) == burst
    assert int(told[nginx + "connections"]) == 2_000
    assert told["nginx.org/limit-req-rate"] == f"{rate}r/s"
    assert int(told["nginx.org/limit-req-burst"]) == burst
    seconds = int(told["haproxy.org/rate-limit-period"].removesuffix("s"))
    assert int(told["haproxy.org/rate-limit-requests"]) == rate * seconds


def test_it_runs_as_the_images_user_without_rights(pod: dict[str, Any]) -> None:
    (container,) = pod["spec"]["containers"]
    of_pod, of_container = pod["spec"]["securityContext"], container["securityContext"]
    assert of_pod["runAsNonRoot"] is True
    assert str(of_pod["runAsUser"]) == dict(image.instructions())["USER"]
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container["readOnlyRootFilesystem"] is True
    assert of_container["allowPrivilegeEscalation"] is False
    assert of_container["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/state", "/tmp"}
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert set(container["resources"]) == {"requests", "limits"}


def test_probes_ask_for_life_and_readiness_and_the_end_has_time(pod: dict[str, Any]) -> None:
    (container,) = pod["spec"]["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    assert pod["spec"]["terminationGracePeriodSeconds"] > 8


def test_settings_have_names_that_exist_and_values_that_can_be_used(found: dict[str, dict[str, Any]]) -> None:
    settings = {**found["ConfigMap/price-hub"]["data"], **found["Secret/price-hub"]["stringData"]}
    assert set(settings) <= SETTINGS
    load([], settings, None)
    secret = {field.name.upper() for field in dataclasses.fields(Settings) if field.metadata["secret"]}
    assert set(found["Secret/price-hub"]["stringData"]) <= secret
    assert not any(found["Secret/price-hub"]["stringData"].values()), "an example holds no secret"
    assert not set(found["ConfigMap/price-hub"]["data"]) & secret
