import io
import re
from pathlib import Path

import pytest

from ratelimit.migration.check import _STRICTNESS, DIFFERENCES, findings, migrate_check
from ratelimit.migration.deployment import Deployment

ROOT = Path(__file__).parents[2]
TCP = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis:6379"}
# Every switch that brings the old behaviour.
AS_BEFORE = {
    "COUNTER_KEY_FORMAT": "reference",
    "GRPC_ERROR_CODES": "reference",
    "REDIS_TIMEOUT": "10s",
    "USE_STATSD": "true",
    "DEBUG_HOST": "0.0.0.0",
    "DRAIN_DELAY": "0",
    "DRAIN_GRACE": "0",
    "REUSE_PORT": "true",
}


def rows(environ: dict[str, str]) -> list[str]:
    """The rows that are told for a deployment."""
    return [found.row for found in findings(Deployment(environ), None) if found.row]


def test_each_difference_is_a_row_of_the_documentation() -> None:
    """Its beginning, and its switch."""
    table = (ROOT / "docs" / "differences.md").read_text().splitlines()
    for row, switch in (*((each.row, each.switch) for each in DIFFERENCES), _STRICTNESS):
        (line,) = [line for line in table if line.startswith(f"| {row}")]
        assert switch in line.rsplit("|", 2)[1]


def test_the_switches_bring_the_old_behaviour() -> None:
    """With each of them set nothing differs; without, each row is told."""
    assert rows({**TCP, **AS_BEFORE}) == []
    assert rows(TCP) == [each.row for each in DIFFERENCES[:5]] + [each.row for each in DIFFERENCES[5:7]]


@pytest.mark.parametrize(
    ("environ", "row"),
    [
        ({"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "true"}, "`STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT`"),
        ({"LOCAL_CACHE_SIZE_IN_BYTES": "1000"}, "the over-limit cache"),
        ({"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "a:1"}, "memcached counts"),
        ({"BACKEND_TYPE": "memcache", "MEMCACHE_SRV": "_m._tcp.x"}, "SRV records"),
    ],
)
def test_what_is_used_decides_what_is_told(environ: dict[str, str], row: str) -> None:
    """A row stands only where it can matter."""
    assert any(each.startswith(row) for each in rows({**TCP, **AS_BEFORE, **environ}))


def checked(tmp_path: Path, environ: dict[str, str], config: str | None = None) -> tuple[int, str]:
    """Exit code and output for a file of variables, and a configuration."""
    given = tmp_path / "deployment.env"
    given.write_text("".join(f"{name}={value}\n" for name, value in environ.items()))
    directory = None
    if config is not None:
        directory = tmp_path / "config"
        directory.mkdir()
        (directory / "d.yaml").write_text(config)
    out = io.StringIO()
    return migrate_check(given, directory, out), out.getvalue()


GOOD = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 1}}]"


def test_a_deployment_without_differences_is_silent(tmp_path: Path) -> None:
    """Exit code 0, and nothing to read."""
    assert checked(tmp_path, {**TCP, **AS_BEFORE}, GOOD) == (0, "")


def test_what_stops_comes_first(tmp_path: Path) -> None:
    """Exit code 1: a variable that is refused, a file that does not load."""
    code, text = checked(tmp_path, {**TCP, "REDIS_TYPE": "x"}, "domain: d\ndescriptors: [{}]")
    assert code == 1
    assert re.match(r"must be mended first:\n- REDIS_TYPE: SINGLE, SENTINEL or CLUSTER is wanted.*\n- d.yaml:2: ", text)


def test_a_mistake_that_the_reference_lets_pass_has_its_switch(tmp_path: Path) -> None:
    """CONFIG_STRICT=false makes a warning of it."""
    mistaken = GOOD.replace("key: k,", "key: k, unlimited: true,")
    code, text = checked(tmp_path, {**TCP, **AS_BEFORE}, mistaken)
    assert (code, "CONFIG_STRICT=false" in text) == (1, True)
    (tmp_path / "config" / "d.yaml").unlink()
    (tmp_path / "config").rmdir()
    code, text = checked(tmp_path, {**TCP, **AS_BEFORE, "CONFIG_STRICT": "false"}, mistaken)
    assert (code, text.startswith("will differ:\n- d.yaml:2: ")) == (0, True)


def test_what_is_worth_knowing_comes_last(tmp_path: Path) -> None:
    """Variables that do nothing, near misses; a file that cannot be read is all there is to say."""
    code, text = checked(tmp_path, {**TCP, **AS_BEFORE, "REDIS_POOL_SIZE": "20", "REDIS_TIMOUT": "1s"})
    assert code == 0
    assert text.startswith("to know:\n- REDIS_POOL_SIZE has no effect: ")
    assert "did you mean REDIS_TIMEOUT?" in text
    out = io.StringIO()
    assert migrate_check(tmp_path / "none", None, out) == 1
    assert "cannot be read" in out.getvalue()


def test_what_is_kept_elsewhere_is_named() -> None:
    """A Secret cannot be looked into."""
    (found,) = findings(Deployment({**TCP, **AS_BEFORE}, ("REDIS_AUTH",)), None)
    assert found.said == "kept elsewhere, and not looked at: REDIS_AUTH"
