import resource
from collections.abc import Iterator

import pytest

from ratelimit.open_files import OPEN_FILES_MAX, raise_open_files

INFINITE = resource.RLIM_INFINITY


@pytest.fixture(autouse=True)
def _the_limit_of_this_process() -> Iterator[None]:
    """The real limits stay as they were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one() -> None:
    """For real, in this process."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    before, now = raise_open_files()
    assert before == 256
    assert now == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    assert raise_open_files() == (now, now)


@pytest.mark.parametrize(
    ("limits", "result"),
    [
        ((1024, INFINITE), (1024, OPEN_FILES_MAX)),
        ((1024, 10 * OPEN_FILES_MAX), (1024, OPEN_FILES_MAX)),
        ((2 * OPEN_FILES_MAX, INFINITE), (2 * OPEN_FILES_MAX, 2 * OPEN_FILES_MAX)),
        ((INFINITE, INFINITE), (INFINITE, INFINITE)),
    ],
)
def test_an_infinite_limit_is_bounded_and_a_higher_one_stays(
    limits: tuple[int, int], result: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ever lowered."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: given.append(wanted))
    assert raise_open_files() == result
    assert given == ([] if result[0] == result[1] else [(result[1], limits[1])])
    monkeypatch.undo()


def test_a_system_that_refuses_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit stays, and the start goes on."""

    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, INFINITE))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_open_files() == (1024, 1024)
    monkeypatch.undo()
