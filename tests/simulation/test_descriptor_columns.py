import pytest

from ratelimit.errors import LogError
from ratelimit.simulation.descriptor_columns import DescriptorColumns


def asked(header: str, line: list[str], domain: str | None = None, hits: str | None = None) -> object:
    """The domain, and entries and hits of each descriptor; the time is the first column."""
    columns = DescriptorColumns(header.split(","), 0, domain, hits)
    request = columns.request([line[place] for place in columns.columns])
    if request is None:
        return None
    return request.domain, [(each.entries, each.hits_addend) for each in request.descriptors]


def test_columns_are_entries() -> None:
    """In their order; an empty cell is none."""
    header = "time,domain,user,path,hits"
    assert asked(header, ["t", "d", "ann", "/", "3"]) == ("d", [((("user", "ann"), ("path", "/")), 3)])
    assert asked(header, ["t", "d", "", "/", ""]) == ("d", [((("path", "/"),), 1)])
    assert asked(header, ["t", "d", "", "", ""]) is None


def test_columns_are_descriptors() -> None:
    """Each `descriptor` is one, if it is not empty."""
    header = "time,domain,descriptor,descriptor"
    both = ("d", [((("user", "ann"), ("path", "/a,b")), 1), ((("path", "/"),), 1)])
    assert asked(header, ["t", "d", r"user=ann,path=/a\,b", "path=/"]) == both
    assert asked(header, ["t", "d", "-", "path=/"]) == ("d", [both[1][1]])
    assert asked(header, ["t", "d", "", ""]) is None
    with pytest.raises(ValueError, match="descriptor: key=value is wanted"):
        asked(header, ["t", "d", "user", ""])


def test_what_the_options_say() -> None:
    """The domain for all lines, and another column for hits."""
    assert asked("time,user,size", ["t", "ann", "7"], "d", "size") == ("d", [((("user", "ann"),), 7)])
    assert asked("time,domain,user", ["t", "x", "ann"], "d") == ("d", [((("user", "ann"),), 1)])


@pytest.mark.parametrize(
    ("header", "domain", "hits", "reason"),
    [
        ("time,user", None, None, "there is no column 'domain': time, user"),
        ("time,user", "d", "size", "there is no column 'size'"),
        ("time,domain,hits", None, None, "no column is a descriptor"),
        ("time,domain,descriptor,user", None, None, "no column can be an entry: 'user'"),
    ],
)
def test_headers_that_make_no_requests(header: str, domain: str | None, hits: str | None, reason: str) -> None:
    """It is line 1 that is wrong."""
    with pytest.raises(LogError, match=reason) as raised:
        DescriptorColumns(header.split(","), 0, domain, hits)
    assert str(raised.value).startswith("line 1: ")
