"""The image as its file tells it, without Docker; and compose.yaml, which builds it."""

import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.demo.processes import LOOPBACK, ROOT
from ratelimit.settings import load_settings

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROGRAMS = Path(sys.executable).parent
Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first: name and the rest, continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]
    begins = [index for index, (name, _) in enumerate(found) if name == "FROM"]
    return [found[begin:end] for begin, end in zip(begins, [*begins[1:], len(found)], strict=True)]


def of(stage: list[Instruction], name: str) -> list[str]:
    """The rests of all instructions of this name."""
    return [rest for each, rest in stage if each == name]


BUILD, FINAL = stages()


def test_the_linter_finds_nothing() -> None:
    """Not even what hadolint calls style."""
    command = [PROGRAMS / "hadolint", "--no-color", "--failure-threshold", "style", DOCKERFILE]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_nothing_is_run_or_fetched_in_the_last_stage() -> None:
    """It has what was built, from slim of the same Python, so no compiler, no pip cache and no source."""
    bases = [stage[0][1].partition(" AS ")[0] for stage in (BUILD, FINAL)]
    assert bases == ["python:${PYTHON}-slim"] * 2
    assert of(FINAL, "RUN") == of(FINAL, "ADD") == of(BUILD, "ADD") == []
    assert all(copied.startswith("--from=build ") for copied in of(FINAL, "COPY"))


def test_it_runs_as_nobody_and_writes_nothing() -> None:
    """A number that is not root's, the one of the manifests; modules are compiled before."""
    (user,) = of(FINAL, "USER")
    assert user == "65532:65532"
    assert [name for name, _ in FINAL].index("USER") > max(
        index for index, (name, _) in enumerate(FINAL) if name == "COPY"
    )
    assert "PYTHONDONTWRITEBYTECODE=1" in of(FINAL, "ENV")[0]
    assert "--compile" in "".join(of(BUILD, "RUN"))
    assert of(FINAL, "VOLUME") == []


def test_what_is_copied_is_sent_to_the_builder() -> None:
    """Every file that the build copies exists, and .dockerignore lets just those through."""
    sources = [source for copied in of(BUILD, "COPY") for source in shlex.split(copied)[:-1]]
    assert all((ROOT / source).exists() for source in sources)
    first, *rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(sources)


def test_labels_say_what_it_is() -> None:
    """The keys of the OCI; the version is the project's unless one is given, as is the licence."""
    labels = dict(part.split("=", 1) for part in shlex.split(of(FINAL, "LABEL")[0]))
    prefix = "org.opencontainers.image."
    assert {"title", "description", "version", "revision", "licenses", "base.name"} == {
        key.removeprefix(prefix) for key in labels
    }
    assert labels[f"{prefix}title"] == PROJECT["name"]
    assert labels[f"{prefix}licenses"] == PROJECT["license"]
    assert labels[f"{prefix}version"] == "${VERSION}"
    assert f"VERSION={PROJECT['version']}" in of(FINAL, "ARG")


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("deploy/kubernetes/ratelimit.yaml", "image: envoy-ratelimit:{}\n"),
        ("deploy/kustomize/overlays/large/kustomization.yaml", "newTag: {}\n"),
        ("docs/install.md", "/envoy-ratelimit:{} "),
    ],
)
def test_whoever_names_the_image_names_this_version(file: str, form: str) -> None:
    """What a release tags is what manifests ask for."""
    assert form.format(PROJECT["version"]) in (ROOT / file).read_text()


def test_ports_are_the_defaults() -> None:
    """What EXPOSE says is where the service listens without any setting."""
    server = load_settings({}).server
    ports = {server.grpc_port, server.port, server.debug_port, 9090}
    assert set(map(int, of(FINAL, "EXPOSE")[0].split())) == ports


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers /healthcheck so, and its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthcheck" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_the_health_check_is_that_of_the_service(status: int, code: int) -> None:
    """The command as it stands there: 0 where the service says it is healthy, 1 where it does not, by its own port."""
    _, _, command = of(FINAL, "HEALTHCHECK")[0].partition(" CMD ")
    program, *arguments = json.loads(command)
    assert program == "python"
    with answering(status) as port:
        environ = {"PORT": str(port)}
        ended = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")


def test_the_list_of_contents_is_whole(tmp_path: Path) -> None:
    """The command that lists, run on this environment: project and licence, every dependency in its version."""
    (line,) = [run for run in of(BUILD, "RUN") if "cyclonedx-py" in run]
    arguments = shlex.split(line.rpartition("cyclonedx-py ")[2])
    target = tmp_path / "sbom.json"
    put_in = {"/sbom.cdx.json": str(target), "/venv/bin/python": sys.executable}
    assert set(put_in) <= set(arguments)
    # Its schema is checked where the image is built, which takes a while.
    command = [PROGRAMS / "cyclonedx-py", *(put_in.get(each, each) for each in arguments), "--no-validate"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    contents = json.loads(target.read_text())
    root = contents["metadata"]["component"]
    assert (root["name"], root["version"]) == (PROJECT["name"], PROJECT["version"])
    assert root["licenses"][0]["license"]["id"] == PROJECT["license"]
    listed = {canonicalize_name(each["name"]): each for each in contents["components"]}
    pins = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split())
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    for name in (canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]):
        assert listed[name]["version"] == versions[name]
        assert listed[name]["purl"] == f"pkg:pypi/{name}@{versions[name]}"


def test_compose_starts_what_exists() -> None:
    """Files that it mounts are there, who is waited for is there, and the service may write nowhere."""
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            assert (ROOT / "deploy" / volume.split(":")[0]).is_file()
        assert set(service.get("depends_on", ())) <= set(services)
    ours = services["ratelimit"]
    assert (ROOT / ours["build"]["dockerfile"]).is_file()
    assert (ours["read_only"], ours["cap_drop"]) == (True, ["ALL"])
    assert services["envoy"]["depends_on"]["ratelimit"] == {"condition": "service_healthy"}
    load_settings(ours["environment"])
