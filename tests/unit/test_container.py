"""The Dockerfile and the compose file: what a container engine would read, read here without one."""

from __future__ import annotations

import dataclasses
import fnmatch
import ipaddress
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import PriceHub
from hub.config import load
from hub.settings import Settings
from hub.web.app import create_app
from tests import image
from tests.conftest import ROOT, need

SETTINGS = {field.name.upper() for field in dataclasses.fields(Settings)}
COMPOSE = ROOT / "docker/compose.yaml"
EXACT = r"[a-z/-]+:v?\d+\.\d+\.\d+(-[a-z0-9-]+)?(@sha256:[0-9a-f]{64})?"  # three numbers


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def composed(*arguments: str, folder: Path, **environment: str) -> dict[str, Any]:
    """What a compose implementation makes of the file: merged, variables filled in, without the other profiles."""
    podman = folder / "podman"  # it asks for the engine's version, even where it needs none
    podman.write_text("#!/bin/sh\necho podman version 5.4.2\n")
    podman.chmod(0o755)
    command = [sys.executable, "-m", "podman_compose", "--podman-path", podman, "-f", COMPOSE, *arguments, "config"]
    env = {"PATH": f"{folder}:{os.environ['PATH']}", **environment}  # nothing else of this machine gets in
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return composed("--profile", "monitoring", folder=tmp_path_factory.mktemp("compose"))


# -- the image ----------------------------------------------------------------------------------------


def test_dockerfile_is_valid_and_a_wrong_line_would_be_noticed(tmp_path: Path) -> None:
    node = need("node", "the Dockerfile's linter")
    linter = ROOT / "tests/integration/js/node_modules/dockerfile-utils/bin/dockerfile-utils"
    if not linter.exists() and os.environ.get("CI") != "true":
        pytest.skip("the Dockerfile's linter is not installed")

    def lint(text: str) -> tuple[int, str]:
        (tmp_path / "Dockerfile").write_text(text)
        command = [node, linter, "lint", tmp_path / "Dockerfile"]
        linted = subprocess.run(command, capture_output=True, text=True, check=False)
        return linted.returncode, linted.stdout + linted.stderr

    assert lint(read("docker/Dockerfile")) == (0, "")
    assert lint(read("docker/Dockerfile").replace("EXPOSE 5000", "EXPOSE here"))[0] != 0


def test_image_runs_without_root_and_checks_that_it_is_alive() -> None:
    found = dict(image.instructions())  # the last of each word
    assert found["USER"] not in ("root", "0")
    assert "/health/live'" in found["HEALTHCHECK"]
    assert found["VOLUME"] == "/state"
    assert "requirements-dev" not in read("docker/Dockerfile")
    assert json.loads(found["CMD"]) == ["gunicorn", "-c", "docker/gunicorn.conf.py", "wsgi:app"]


def test_everything_the_image_copies_exists_and_reaches_the_engine() -> None:
    sources = [source for source, _ in image.sources()]
    assert {"app.py", "wsgi.py", "hub/", "templates/", "static/"} <= set(sources)
    ignore = read(".dockerignore").splitlines()
    assert "*" in ignore, "all is left out, but for what follows"
    admitted = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    for source in [*sources, "requirements.lock"]:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source.rstrip("/"), pattern) for pattern in admitted), source


def test_image_is_configured_by_names_that_exist() -> None:
    values = dict(re.findall(r"\b([A-Z_]+)=(\S+)", dict(image.instructions())["ENV"]))
    own = {name: value for name, value in values.items() if name not in ("PATH", "PYTHONUNBUFFERED")}
    settings = load([], own, None).settings
    assert (settings.host, settings.port, settings.state_dir) == ("0.0.0.0", 5000, "/state")


def test_versions_are_exact_and_the_same_everywhere(compose: dict[str, Any]) -> None:
    bases = [rest.split()[0] for word, rest in image.instructions() if word == "FROM"]
    assert len(set(bases)) == 1
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in dict(image.instructions())["LABEL"]
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert images["backend"] == f"price-hub:{version}"
    for name in [bases[0], *images.values()]:
        assert re.fullmatch(EXACT, name), name


# -- compose ------------------------------------------------------------------------------------------


def test_compose_file_is_what_the_specification_asks_for() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_compose_serves_the_hub_as_backend_with_nginx_in_front(compose: dict[str, Any]) -> None:
    backend, nginx = compose["services"]["backend"], compose["services"]["nginx"]
    assert "ports" not in backend, "nginx is the way in"
    assert backend["environment"]["PORT"] == "5000"
    assert set(backend["environment"]) <= SETTINGS
    load([], backend["environment"], None)
    assert nginx["depends_on"]["backend"]["condition"] == "service_started"
    assert "healthcheck" in nginx
    assert Path(backend["build"]["context"]) == ROOT
    assert (ROOT / backend["build"]["dockerfile"]).exists()


def test_nothing_is_open_to_the_network_unless_asked_for(compose: dict[str, Any], tmp_path: Path) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:3000:3000", "127.0.0.1:8080:8080", "127.0.0.1:9090:9090"]
    opened = composed(folder=tmp_path, HTTP_ADDRESS="0.0.0.0:80")
    assert opened["services"]["nginx"]["ports"] == ["0.0.0.0:80:8080"]


def test_nobody_but_nginx_can_speak_for_others(compose: dict[str, Any]) -> None:
    services, networks = compose["services"], compose["networks"]
    (trusted,) = load([], services["backend"]["environment"], None).settings.trusted_proxies
    address = ipaddress.ip_address(services["nginx"]["networks"]["front"]["ipv4_address"])
    assert trusted == ipaddress.ip_network(address), "that address, and no network"
    (pool,) = networks["front"]["ipam"]["config"]
    front, given_out = ipaddress.ip_network(pool["subnet"]), ipaddress.ip_network(pool["ip_range"])
    assert address in front
    assert front.num_addresses <= 16
    assert given_out.subnet_of(front)
    assert address not in given_out, "the hub, or a doctor beside it, would take it"
    # where bots are, the hub answers to its name, and nginx is not; Docker's own pools are nowhere near
    inside = {name: set(service.get("networks") or ["default"]) for name, service in services.items()}
    assert inside == {
        "backend": {"default", "front"}, "nginx": {"front"}, "prometheus": {"default"}, "grafana": {"default"}
    }  # fmt: skip
    assert networks["default"]["name"] == "price-hub"
    assert "ipam" not in networks["default"]
    for pool_of_docker in ("172.16.0.0/12", "192.168.0.0/16"):
        assert not front.overlaps(ipaddress.ip_network(pool_of_docker))
    proxy = read("docker/nginx.d/behind-a-proxy.conf.example")
    assert re.findall(r"set_real_ip_from (\S+);", proxy) == [str(front[1])], "the gateway: the machine itself"


def test_images_are_at_releases_without_known_holes(compose: dict[str, Any]) -> None:
    least = {"nginx": (1, 30, 2), "prometheus": (3, 5, 3), "grafana": (12, 4, 5)}
    for name, version in least.items():
        found = re.search(r":v?(\d+)\.(\d+)\.(\d+)", compose["services"][name]["image"])
        assert found is not None
        assert tuple(map(int, found.groups())) >= version


def test_monitoring_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    assert set(composed(folder=tmp_path)["services"]) == {"backend", "nginx"}


def test_grafana_does_not_start_without_a_password_of_ones_own(compose: dict[str, Any], tmp_path: Path) -> None:
    entrypoint = [part.replace("$$", "$") for part in compose["services"]["grafana"]["entrypoint"]]
    started = tmp_path / "run.sh"
    started.write_text("#!/bin/sh\necho started\n")
    started.chmod(0o755)
    command = [part.replace("/run.sh", str(started)) for part in entrypoint]
    given = composed("--profile", "monitoring", folder=tmp_path, GRAFANA_PASSWORD="of my own")["services"]["grafana"]
    for environment, code, said in (
        (compose["services"]["grafana"]["environment"], 1, "set GRAFANA_PASSWORD"),
        (given["environment"], 0, "started"),
    ):
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == code
        assert said in ran.stdout + ran.stderr


@pytest.mark.parametrize("service", ["backend", "nginx", "prometheus", "grafana"])
def test_compose_takes_every_privilege_away_and_sets_limits(compose: dict[str, Any], service: str) -> None:
    found = compose["services"][service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in found["security_opt"]
    assert found["restart"] == "unless-stopped"
    assert not found.get("privileged")
    assert any(mount.startswith("/tmp") for mount in found["tmpfs"])
    assert found["mem_limit"]
    assert found["cpus"]
    assert found["pids_limit"]
    if service != "backend":  # the image says it
        assert not found["user"].startswith("0")


@pytest.mark.parametrize("service", ["backend", "nginx", "prometheus", "grafana"])
def test_what_is_mounted_exists_and_what_is_kept_has_a_name(compose: dict[str, Any], service: str) -> None:
    for volume in compose["services"][service]["volumes"]:
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert rest.endswith(":ro"), volume
            assert (ROOT / "docker" / source).exists(), volume
        else:
            assert source in compose["volumes"], volume


def test_grafana_finds_the_dashboard_where_it_is_told_to_look(compose: dict[str, Any]) -> None:
    (mounted,) = (v.split(":")[1] for v in compose["services"]["grafana"]["volumes"] if "dashboard.json" in v)
    providers = [
        yaml.safe_load(path.read_text(encoding="utf-8"))["providers"]
        for path in (ROOT / "docker/grafana/provisioning/dashboards").glob("*.yml")
    ]
    assert [provider["options"]["path"] for found in providers for provider in found] == [str(Path(mounted).parent)]


def test_nginx_closes_what_changes_the_hub_but_for_what_old_clients_use() -> None:
    (closed,) = re.findall(r"location ~ (\S+) \{", read("docker/nginx-site.conf"))
    tell_too_much = (  # they only tell
        "/metrics", "/config", "/performance/metrics", "/services/status", "/websocket/status", "/clients", "/plan",
        "/alerts",
    )  # fmt: skip
    app, _ = create_app(PriceHub(Settings()))
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        changes = bool({"POST", "PUT", "DELETE", "PATCH"} & (rule.methods or set()))
        open_to_all = path.removeprefix("/api") in ("/priority-pairs", "/alert") or not changes
        if path.removeprefix("/api") in tell_too_much:
            open_to_all = False
        assert open_to_all != bool(re.match(closed, path)), path


@pytest.mark.parametrize("path", ["/socket.io/", "/api/", "/"])
def test_nginx_passes_each_path_on_unchanged(path: str) -> None:
    config = read("docker/nginx-site.conf")
    assert re.search(rf"location {re.escape(path)} {{[^}}]*proxy_pass \$hub;", config)
    assert re.search(r"set \$hub http://backend:5000;", config)
