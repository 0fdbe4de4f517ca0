from ratelimit.admin.loads import LOADS_MAX, TEXT_MAX, WARNINGS_MAX, Load, Loads
from ratelimit.clock import SteppedClock
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError


def test_loads_tell_what_came_and_what_was_wrong_and_where() -> None:
    """The newest last, with its moment."""
    loads = Loads(SteppedClock(5.0))
    loads.loaded(Config({}, ("careful",), 3))
    loads.failed(ConfigError("no", file="f.yaml", line=7, key_path="descriptors[0]"))
    loads.failed(ConfigError("no"))
    assert list(loads.last) == [
        Load(5.0, 0, 3, ("careful",)),
        Load(5.0, error="no", file="f.yaml", line=7, key_path="descriptors[0]"),
        Load(5.0, error="no"),
    ]


def test_what_is_kept_is_bounded() -> None:
    """In number and in size, whatever a file holds."""
    loads = Loads()
    for _ in range(LOADS_MAX + 1):
        loads.failed(ConfigError("x" * 10_000, file="y" * 10_000, key_path="z" * 10_000))
    loads.loaded(Config({}, ("w" * 10_000,) * 100))
    assert (loads.count, len(loads.last)) == (LOADS_MAX + 2, LOADS_MAX)
    failed, loaded = loads.last[0], loads.last[-1]
    assert {len(text) for text in (failed.error, failed.file, failed.key_path)} == {TEXT_MAX}
    assert [len(warning) for warning in loaded.warnings] == [TEXT_MAX] * WARNINGS_MAX
