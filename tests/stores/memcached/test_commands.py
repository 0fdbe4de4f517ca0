import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import COUNT_MAX
from ratelimit.stores.groups import Answer
from ratelimit.stores.memcached.commands import (
    HASHED,
    RELATIVE_S_MAX,
    REPLY_BYTES_MAX,
    OddReplyError,
    Replies,
    command_of,
    expiry,
    key_of,
)
from tests.limiter.plans import NOW


def told(answers: list[Answer]) -> list[object]:
    """Answers that can be compared."""
    return [each.reason if isinstance(each, StoreError) else each for each in answers]


@pytest.mark.parametrize(
    ("amount", "wire"),
    [
        (3, b"ma k N61 J3 D3 v\r\n"),
        (0, b"mg k v\r\n"),
        (-3, b"ma k MD D3 v\r\n"),
        (COUNT_MAX + 9, b"ma k N61 J9007199254740991 D9007199254740991 v\r\n"),
        (-COUNT_MAX - 9, b"ma k MD D9007199254740991 v\r\n"),
    ],
)
def test_a_hit_is_one_command(amount: int, wire: bytes) -> None:
    """A charge creates with its expiry, a look and a refund create nothing; no amount is beyond COUNT_MAX."""
    assert command_of(b"k", amount, 60, NOW) == wire


def test_an_expiry_beyond_thirty_days_is_a_moment() -> None:
    """Months and years: memcached would take such a number of seconds for a moment in 1970."""
    month_s = 30 * 24 * 3600
    assert expiry(1, NOW) == 2
    assert expiry(month_s - 1, NOW) == RELATIVE_S_MAX
    assert expiry(month_s, NOW) == NOW + month_s + 1
    assert expiry(365 * 24 * 3600, NOW) == NOW + 365 * 24 * 3600 + 1


@pytest.mark.parametrize("name", [b"", b" ", b"a b", b"a\r\n", b"\x7f", "ü".encode(), b"k" * 251, HASHED + b"x"])
def test_a_name_that_is_no_key_is_hashed(name: bytes) -> None:
    """Memcached takes 1 to 250 visible characters."""
    key = key_of(name)
    assert key.startswith(HASHED)
    assert len(key) == len(HASHED) + 64


@pytest.mark.parametrize("name", [b"k", b"k" * 250, b"{rl:fd:1:d,1:k,}:1700000000", b"x" + HASHED])
def test_a_plain_name_is_its_own_key(name: bytes) -> None:
    """So an operator finds it."""
    assert key_of(name) == name


@given(st.binary(max_size=300))
def test_a_key_is_never_another_name_s(name: bytes) -> None:
    """The key of a hashed name is, taken as a name, another key; and every key is one that memcached takes."""
    key = key_of(name)
    assert key == name or key_of(key) != key
    assert 0 < len(key) <= 250
    assert all(0x21 <= byte <= 0x7E for byte in key)


WIRE = b"".join(
    (
        b"VA 1\r\n7\r\nVA 2\r\n9 \r\nEN\r\nNF\r\nVA 1 \r\nx\r\n",
        b"CLIENT_ERROR cannot increment k\r\nSERVER_ERROR out of memory\r\nNS\r\n",
    )
)
ANSWERS = [
    *(7, 9, None, None),
    *(f"the store refused: {why}" for why in ("not a number", "CLIENT_ERROR", "SERVER_ERROR", "NS")),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_replies_are_read_however_the_bytes_are_cut(size: int) -> None:
    """Values, misses and refusals; a value that became shorter is followed by a space."""
    replies, answers = Replies(), list[Answer]()
    for at in range(0, len(WIRE), size):
        answers += replies.feed(WIRE[at : at + size])
    assert told(answers) == ANSWERS


def test_a_refusal_was_not_counted() -> None:
    """Memcached says it before it stores anything."""
    (answer,) = Replies().feed(b"SERVER_ERROR out of memory storing object\r\n")
    assert isinstance(answer, StoreError)
    assert not answer.outcome_unknown


@pytest.mark.parametrize(
    "data", [b"-ERR unknown command\r\n", b"VA x\r\n", b"VA \r\n", b"VA 99999999\r\n", b"x" * (REPLY_BYTES_MAX + 1)]
)
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    """Another server, or one that never ends its line."""
    with pytest.raises(OddReplyError):
        list(Replies().feed(data))
