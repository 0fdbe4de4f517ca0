"""The floors, sizes and habits of the code, proved from its text."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ratelimit"
# A floor may import those that stand before it, as far as this table lists them.
FOUNDATION = {"errors", "clock", "settings", "metrics", "logs"}
MAY_IMPORT = {
    "__init__": set(),
    "errors": set(),
    "clock": set(),
    "open_files": set(),
    "sockets": set(),
    "lifetime": set(),
    "container": set(),
    "settings": {"errors"},
    "metrics": set(),
    "logs": {"settings"},
    "statsd": FOUNDATION,
    "dogstatsd": {*FOUNDATION, "statsd", "container"},
    "descriptors": {"errors"},
    "limiter": {"errors", "clock", "descriptors"},
    "quota": {"errors"},
    "stores": {*FOUNDATION, "lifetime", "limiter", "quota"},
    "transport": {"errors", "settings", "metrics", "sockets"},
    "service": {*FOUNDATION, "lifetime", "descriptors", "limiter", "quota", "pb"},
    "sources": {*FOUNDATION, "lifetime", "descriptors", "pb"},
    "admin": {*FOUNDATION, "sockets", "descriptors", "limiter", "service"},
    "lint": {"errors", "settings", "descriptors"},
    "check": {*FOUNDATION, "descriptors", "sources", "lint"},
    "explain": {*FOUNDATION, "check", "descriptors", "limiter", "service"},
    "simulation": {*FOUNDATION, "check", "descriptors", "limiter", "service", "stores"},
    "migration": {*FOUNDATION, "descriptors", "sources"},
    "pb": {"pb"},
    "tracing": {*FOUNDATION, "transport", "service"},
    # What a worker process has; it is handed configurations, and knows neither where they come from nor the pages.
    "worker": {*FOUNDATION, "lifetime", "descriptors", "limiter", "stores", "service", "tracing", "transport"},
    # Only the entry of the worker's process knows `worker`.
    "workers": {*FOUNDATION, "lifetime", "descriptors", "sources", "worker"},
}
SEES_EVERYTHING = {"app", "__main__"}
FORBIDDEN = {
    "descriptors": {"asyncio", "google", "grpc", "redis", "prometheus_client"},
    "limiter": {"asyncio", "google", "grpc", "redis", "prometheus_client"},
    "lint": {"asyncio", "google", "grpc", "redis", "prometheus_client", "yaml"},
    "quota": {"asyncio", "google", "grpc", "redis", "prometheus_client", "time", "structlog", "logging"},
    "stores": {"google", "grpc"},
    "admin": {"google", "grpc", "redis"},
    "transport": {"google", "redis"},
}
# The service hands its methods to the transport through this seam and knows nothing else of it.
SEAM = {"service": ("ratelimit.transport.methods", "ratelimit.transport.awaited_call")}
# HTTP/2 and gRPC without input and output: bytes and moments in, bytes out.
SANS_IO = {
    *("acknowledging", "block_memo", "calls", "connection", "frames", "grpc", "headers", "housekeeping"),
    *("request_head", "sending", "streams", "trace_fields", "unary_lane"),
}
IO = {"asyncio", "socket", "ssl", "time", "grpc", "structlog", "logging", "ratelimit.settings"}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "pb" not in path.relative_to(PACKAGE).parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = [*SOURCES, *TESTS, *sorted((ROOT / "deploy").rglob("*.py")), *sorted((ROOT / "loadtest").rglob("*.py"))]


def ids(paths: list[Path]) -> list[str]:
    """Names for parametrised tests."""
    return [str(path.relative_to(ROOT)) for path in paths]


def floor_of(path: Path) -> str:
    """The floor a source file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Every name that a file imports, anywhere in it."""
    return imported(path.read_text())


def imported(source: str) -> list[str]:
    """Every name that a text imports, whole: `from ratelimit import app` gives `ratelimit.app`, `.` a leading dot."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            found += [f".{name}"] if name in {"import_module", "__import__"} else []
    return found


def faults(floor: str, names: list[str]) -> list[str]:
    """The imports that a file of `floor` must not have: other floors, relative ones, ones made at run time."""
    if floor in SEES_EVERYTHING:
        return [name for name in names if name.startswith(".")]
    seam = tuple(f"{module}." for module in SEAM.get(floor, ()))
    return [name for name in names if not _is_allowed(floor, name) and not f"{name}.".startswith(seam or "-")]


def _is_allowed(floor: str, name: str) -> bool:
    package, _, rest = name.partition(".")
    if package != "ratelimit":
        return bool(package) and package not in FORBIDDEN.get(floor, set())
    return rest.split(".")[0] in MAY_IMPORT[floor] | {floor}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_imports_go_only_up_the_floors(path: Path) -> None:
    """No file imports a floor that its own may not know; only app sees everything."""
    assert faults(floor_of(path), imports(path)) == []


@pytest.mark.parametrize(
    ("floor", "source", "fault"),
    [
        ("limiter", "from ratelimit.service.health import Health", "ratelimit.service.health.Health"),
        ("limiter", "from ratelimit import metrics, clock", "ratelimit.metrics"),
        ("limiter", "import ratelimit.stores.memory as memory", "ratelimit.stores.memory"),
        ("limiter", "import ratelimit", "ratelimit"),
        ("limiter", "def late():\n    import asyncio", "asyncio"),
        ("limiter", "from .window import Window", ".window.Window"),
        ("app", "from ..ratelimit import worker", "..ratelimit.worker"),
        ("limiter", "import importlib\nimportlib.import_module('ratelimit.app')", ".import_module"),
        ("service", "from ratelimit.transport.grpcio_server import GrpcioServer", "ratelimit.transport.grpcio_server."),
        ("service", "from ratelimit.transport import methods_of_mine", "ratelimit.transport.methods_of_mine"),
        ("service", "from ratelimit.transport import *", "ratelimit.transport.*"),
        ("admin", "from ratelimit.transport.methods import Call", "ratelimit.transport.methods.Call"),
        ("worker", "from ratelimit.sources.directory import Listener", "ratelimit.sources.directory.Listener"),
    ],
)
def test_the_checker_sees_through_every_way_to_import(floor: str, source: str, fault: str) -> None:
    """A relative import, `from ratelimit import x`, a late one, and the seam from a floor that does not own it."""
    found = faults(floor, imported(source))
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_the_checker_lets_pass_what_is_allowed() -> None:
    """The seam for the service, higher floors and their like for all."""
    seam = "from ratelimit.transport import methods\nfrom ratelimit.transport.awaited_call import AwaitedCall"
    assert faults("service", imported(f"{seam}\nfrom ratelimit import errors\nimport asyncio")) == []
    assert faults("limiter", imported("from ratelimit.limiter.window import Window\nimport math")) == []
    assert faults("app", imported("from ratelimit.stores.memory import MemoryStore")) == []


@pytest.mark.parametrize("name", sorted(SANS_IO))
def test_the_core_of_the_transport_does_no_io(name: str) -> None:
    """No event loop, no socket, no clock, no log, no settings; and nothing to wait for."""
    path = PACKAGE / "transport" / f"{name}.py"
    assert [
        found for found in imports(path) if found.split(".")[0] in IO or found.startswith("ratelimit.settings")
    ] == []
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not any(isinstance(node, waits) for node in ast.walk(ast.parse(path.read_text())))


def test_only_settings_reads_the_environment() -> None:
    """What a deployment can set stands in one place."""
    readers = {floor_of(path) for path in SOURCES if re.search(r"os\.(environ|getenv)", path.read_text())}
    assert readers == {"settings"}


def test_the_supervisor_knows_no_worker() -> None:
    """Only the entry of a worker's process does: the supervisor must not import what a worker has."""
    found = {
        path.stem for path in SOURCES if floor_of(path) == "workers" and "ratelimit.worker.Worker" in imports(path)
    }
    assert found == {"process"}


def test_protobuf_stays_in_one_file_of_a_floor() -> None:
    """One file knows those of each protocol: rls.proto, rlqs.proto, and a control plane's."""
    users = [
        str(path.relative_to(PACKAGE)) for path in SOURCES if any("ratelimit.pb" in name for name in imports(path))
    ]
    assert users == ["service/messages.py", "service/rlqs/messages.py", "sources/xds_messages.py"]


@pytest.mark.parametrize("path", ALL, ids=ids(ALL))
def test_sizes_stay_small(path: Path) -> None:
    """Files, lines, functions and parameter lists stay within what a reader can hold."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    assert all(len(line) <= 120 for line in lines)
    for function in functions(path):
        # A loop on the way of every request may be longer where a figure earns it, and it says so.
        most = 60 if "`make bench` earns" in (ast.get_docstring(function) or "") else 50
        assert (function.end_lineno or 0) - function.lineno < most, function.name
        positional = [a for a in function.args.posonlyargs + function.args.args if a.arg not in {"self", "cls"}]
        assert len(positional) <= 5, function.name


MIRRORED = [path for path in SOURCES if path.name != "__init__.py"]


@pytest.mark.parametrize("path", MIRRORED, ids=ids(MIRRORED))
def test_every_source_file_has_its_test_file(path: Path) -> None:
    """Tests mirror the source, so a reader knows where to look."""
    place = path.relative_to(PACKAGE)
    assert (ROOT / "tests" / place.parent / f"test_{place.stem.strip('_')}.py").exists()


@pytest.mark.parametrize("path", TESTS, ids=ids(TESTS))
def test_every_test_states_its_promise(path: Path) -> None:
    """Each test has one sentence that says what is promised."""
    for function in functions(path):
        if function.name.startswith("test_"):
            assert ast.get_docstring(function), function.name


def test_nothing_is_left_for_later() -> None:
    """No note to a later self stands in the code, and no path of a developer's machine."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    marks = re.compile(
        r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b|(^|[\s\"'=(])/(wo" + r"rk|farm|tm" + r"p)/[A-Za-z]", re.MULTILINE
    )
    for name in files:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".lua", ".sh", ""} and path.is_file():
            assert not marks.search(path.read_text()), name


def test_readme_stays_short() -> None:
    """The README fits on a few screens."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
