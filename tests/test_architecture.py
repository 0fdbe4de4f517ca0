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
    "errors": set(),
    "clock": set(),
    "settings": {"errors"},
    "metrics": set(),
    "logs": {"settings"},
    "statsd": FOUNDATION,
    "descriptors": {"errors"},
    "limiter": {"errors", "clock", "descriptors"},
    "stores": {*FOUNDATION, "limiter"},
    "transport": {"errors", "settings"},
    "service": {*FOUNDATION, "descriptors", "limiter", "transport", "pb"},
    "sources": {*FOUNDATION, "descriptors"},
    "admin": {*FOUNDATION, "service"},
    "check": {*FOUNDATION, "descriptors", "sources"},
    "pb": {"pb"},
}
FORBIDDEN = {
    "descriptors": {"asyncio", "google", "grpc", "redis", "prometheus_client"},
    "limiter": {"asyncio", "google", "grpc", "redis", "prometheus_client"},
    "stores": {"google", "grpc"},
    "admin": {"google", "grpc", "redis"},
    "transport": {"google", "redis"},
}
# The service hands its methods to the transport through this seam and knows nothing else of it.
SEAM = "ratelimit.transport.methods"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "pb" not in path.relative_to(PACKAGE).parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = [*SOURCES, *TESTS, *sorted((ROOT / "deploy").rglob("*.py")), *sorted((ROOT / "loadtest").rglob("*.py"))]


def ids(paths: list[Path]) -> list[str]:
    """Names for parametrised tests."""
    return [str(path.relative_to(ROOT)) for path in paths]


def floor_of(path: Path) -> str:
    """The floor a source file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_imports_go_only_up_the_floors(path: Path) -> None:
    """No file imports a floor that its own may not know; only app sees everything."""
    floor = floor_of(path)
    if floor in {"app", "__main__", "__init__"}:
        return
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("ratelimit.") and name != SEAM}
    assert ours <= MAY_IMPORT[floor] | {floor}
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN.get(floor, set())


def test_only_settings_reads_the_environment() -> None:
    """What a deployment can set stands in one place."""
    readers = {floor_of(path) for path in SOURCES if re.search(r"os\.(environ|getenv)", path.read_text())}
    assert readers == {"settings"}


def test_protobuf_stays_in_one_file() -> None:
    """Only service/messages.py knows the messages of rls.proto."""
    users = [
        str(path.relative_to(PACKAGE)) for path in SOURCES if any("ratelimit.pb" in name for name in imports(path))
    ]
    assert users == ["service/messages.py"]


@pytest.mark.parametrize("path", ALL, ids=ids(ALL))
def test_sizes_stay_small(path: Path) -> None:
    """Files, lines, functions and parameter lists stay within what a reader can hold."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    assert all(len(line) <= 120 for line in lines)
    for function in functions(path):
        assert (function.end_lineno or 0) - function.lineno < 50, function.name
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
