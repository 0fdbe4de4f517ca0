import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.metrics.names import NAME_BYTES_MAX, name_with_tags, sanitise, split_tags, stat_name, tags_suffix


def test_names_are_safe_for_statsd() -> None:
    """Colons, bars and the dots of an address become underscores."""
    assert sanitise("d.a:b|c_10.0.0.1") == "d.a_b_c_10_0_0_1"


@pytest.mark.parametrize("forged", ["a\nb:1|c", "a\rb", "a\x00b", "a\u2028b", "a\x85b", "a\ud800b"], ids=ascii)
def test_no_name_can_forge_a_line(forged: str) -> None:
    """Line ends, control characters and lone surrogates become underscores."""
    name = stat_name(forged)
    assert name.startswith("a_b")
    assert len(name.splitlines()) == 1


def test_long_names_stay_apart() -> None:
    """Cut, with a digest of the whole: two that begin alike are two."""
    first, second = stat_name("d." + "x" * 4096), stat_name("d." + "x" * 4095)
    assert first != second
    assert first.startswith("d.xxx")
    assert first[-9] == "~"
    assert stat_name("x" * NAME_BYTES_MAX) == "x" * NAME_BYTES_MAX


@given(st.text(st.characters(), max_size=400).map(lambda text: text * 3))
def test_every_name_is_short_printable_utf8(text: str) -> None:
    """Whatever the caller sends."""
    name = stat_name(text)
    assert len(name.encode()) <= NAME_BYTES_MAX
    assert not set(name) & set(":|\n\r\x00")
    assert len(name.splitlines()) <= 1


def test_tags_are_a_suffix_of_every_name() -> None:
    """Sorted, and as safe as the names; without EXTRA_TAGS names stay as they are."""
    assert tags_suffix({}) == ""
    assert tags_suffix({"b": "x.y:1|c\n", "a": "10.0.0.1"}) == ".__a=10_0_0_1.__b=x_y_1_c_"


def test_tags_of_a_name_stand_among_the_others() -> None:
    """Only of those that we make; a caller's value may look like a tag, and is none."""
    name = "ratelimit.memcache.add.__code=success"
    assert name_with_tags(name, ".__a=1.__z=2") == "ratelimit.memcache.add.__a=1.__code=success.__z=2"
    assert split_tags(name) == ("ratelimit.memcache.add", ["code=success"])
    chosen = "ratelimit.service.rate_limit.d.k_.__b=c.total_hits"
    assert name_with_tags(chosen, ".__a=1") == f"{chosen}.__a=1"
    assert split_tags(chosen) == (chosen, ())
