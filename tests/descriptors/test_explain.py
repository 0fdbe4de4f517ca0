import pytest

from ratelimit.descriptors.explain import CANDIDATES_MAX, Missing, Walked, explain_walk, nearest
from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.tree import Matched

TEXT = """domain: shop
descriptors:
  - key: tier
    value: gold
    rate_limit: {unit: minute, requests_per_unit: 10}
  - key: tier
    value: g*
    descriptors:
      - key: path
        rate_limit: {unit: day, requests_per_unit: 1}
      - key: user
  - key: ip
    rate_limit: {unit: day, requests_per_unit: 2}
"""


def walked(*entries: tuple[str, str], domain: str = "shop", limit: Limit | None = None) -> Walked:
    """The way of the entries through TEXT."""
    return explain_walk(load_config([ConfigFile("f.yaml", TEXT.encode())]), domain, Descriptor(entries, limit))


def test_the_way_is_the_trees_own() -> None:
    """Each level says how it took its entry, and the last node is where the limit stands."""
    found = walked(("tier", "green"), ("path", "/x"))
    assert [level.matched for level in found.levels] == [Matched.PATTERN, Matched.KEY]
    assert (found.miss, found.match and found.match.limit.requests_per_unit) == (None, 1)
    assert found.node is not None
    assert (found.node.file, found.node.line) == ("f.yaml", 9)


@pytest.mark.parametrize(
    ("entries", "reason", "near", "following"),
    [
        ([("tier", "old")], Missing.LEVEL, ("tier_gold",), ("tier_gold", "tier_g*", "ip")),
        ([("tire", "old")], Missing.LEVEL, ("tier_gold",), ("tier_gold", "tier_g*", "ip")),
        ([("tier", "green")], Missing.TOO_SHALLOW, (), ("path", "user")),
        ([("tier", "green"), ("user", "x")], Missing.RATE_LIMIT, (), ()),
        ([("ip", "1"), ("path", "/")], Missing.TOO_DEEP, (), ()),
        ([], Missing.ENTRIES, (), ("tier_gold", "tier_g*", "ip")),
    ],
)
def test_why_there_is_no_limit(
    entries: list[tuple[str, str]], reason: Missing, near: tuple[str, ...], following: tuple[str, ...]
) -> None:
    """The reason, what is near, and what may stand at the place where the walk ended."""
    miss = walked(*entries).miss
    assert miss is not None
    assert miss.reason is reason
    assert set(near) <= set(miss.near)
    assert miss.following == following


def test_entries_in_another_order_are_seen() -> None:
    """Those that come later and would match where the walk ended are named by their index."""
    miss = walked(("path", "/x"), ("other", ""), ("tier", "green")).miss
    assert miss is not None
    assert miss.misplaced == (2,)


def test_a_domain_that_exists_is_offered() -> None:
    """An unknown domain has no way, and the nearest that is configured."""
    found = walked(("tier", "gold"), domain="shpo")
    assert (found.levels, found.miss and found.miss.reason, found.miss and found.miss.near) == (
        (),
        Missing.DOMAIN,
        ("shop",),
    )


def test_an_override_has_no_way() -> None:
    """The limit that comes with a descriptor asks no level."""
    found = walked(("none", ""), limit=Limit(3, Unit.DAY))
    assert (found.levels, found.node, found.miss) == ((), None, None)
    assert found.match is not None


def test_what_is_near_costs_a_bounded_time() -> None:
    """Of very many candidates the first are compared, by their first characters, and it is said."""
    many = [f"value-{number}" for number in range(CANDIDATES_MAX + 1)]
    assert nearest("value-1", many) == (("value-1", *nearest("value-1", many)[0][1:]), False)
    assert nearest("x" * 4096, ["x" * 5000]) == (("x" * 5000,), True)


def test_the_nearest_of_many_goes_first() -> None:
    """One typing error, among hundreds that are as long."""
    many = [f"{number:04}-customer" for number in range(900)]
    assert nearest("0123-custmoer", many)[0][0] == "0123-customer"
