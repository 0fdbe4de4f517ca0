import pytest

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.quota.options import AckMode
from ratelimit.service.rlqs.limits import NAME_BYTES_MAX, Divided, LedgerKey, find, name_of
from ratelimit.service.rlqs.messages import Blanket
from tests.service.rlqs.streams import CONFIG

LOADED = load_config([ConfigFile("f.yaml", CONFIG.encode())])


@pytest.mark.parametrize(
    ("domain", "entries", "rule"),
    [
        ("d", {"name": "free"}, Blanket.ALLOW),
        ("d", {"name": "watched"}, Blanket.ALLOW),
        ("d", {"name": "exact"}, Blanket.ALLOW),
        ("d", {"name": "none"}, Blanket.DENY),
        ("d", {"name": "other"}, None),
        ("e", {"name": "prod"}, None),
    ],
)
def test_some_limits_need_no_ledger(domain: str, entries: dict[str, str], rule: Blanket | None) -> None:
    """Without end, in shadow mode, exact, nothing at all; and what reaches no limit."""
    assert find(LOADED, domain, entries, AckMode.PING) is rule


def test_a_limit_is_divided_by_its_rate() -> None:
    """Per second, whatever its unit; each value of a bare key has a ledger of its own."""
    found = find(LOADED, "d", {"user": "x"}, AckMode.REPORT)
    assert isinstance(found, Divided)
    assert found.options.limit_per_s == 100
    assert (found.key, found.shared, found.options.ack) == (("d", (("user", "x"),)), False, AckMode.REPORT)


def test_buckets_share_a_ledger_where_their_values_share_a_counter() -> None:
    """share_threshold."""
    one, other = (find(LOADED, "d", {"ip": ip}, AckMode.PING) for ip in ("10.1", "10.2"))
    assert isinstance(one, Divided)
    assert isinstance(other, Divided)
    assert one.key == other.key == ("d", (("ip", "10.*"),))
    assert one.shared


def test_names_are_unambiguous_and_short() -> None:
    """Whatever stands in keys and values."""
    keys: list[LedgerKey] = [("d", (("a", "b"),)), ("d", (("a", ""), ("b", "")))]
    keys += [("d", (('a","b', ""),)), ("e", (("a", "b"),)), ("d", (("a", "v" * 5000),)), ("d", (("a", "w" * 5000),))]
    names = [name_of(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert max(map(len, names)) <= NAME_BYTES_MAX
