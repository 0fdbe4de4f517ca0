import pytest

from ratelimit.settings.addresses import host, host_and_port, joined


@pytest.mark.parametrize(
    ("text", "bare", "with_port"),
    [
        ("0.0.0.0", "0.0.0.0", "0.0.0.0:80"),
        ("localhost", "localhost", "localhost:80"),
        ("", "", "[::]:80"),
        ("::", "::", "[::]:80"),
        ("[::]", "::", "[::]:80"),
        ("[::1]", "::1", "[::1]:80"),
        ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:80"),
    ],
)
def test_a_host_is_read_in_every_notation(text: str, bare: str, with_port: str) -> None:
    """With or without brackets, and empty for all interfaces."""
    assert host(text) == bare
    assert joined(str(host(text)), 80) == with_port


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::1]:80", "http://x", "a b", "[]", "[name]", "a/b", "é"])
def test_what_is_no_host_is_refused(text: str) -> None:
    """A port or a scheme in it is a mistake that the first connection would show too late."""
    with pytest.raises(ValueError, match="a host"):
        host(text)


def test_host_and_port() -> None:
    """The host may be missing, the port may not."""
    assert [host_and_port(text) for text in (":1", "h:0", "[::]:9090")] == [("", 1), ("h", 0), ("::", 9090)]
    for text in ("", "9090", "h:", "h:x", "h:65536", "::1:9090", "h:+1", "h:١"):
        with pytest.raises(ValueError, match="wanted"):
            host_and_port(text)
