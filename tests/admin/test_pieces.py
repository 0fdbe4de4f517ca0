from aiohttp.test_utils import make_mocked_request

from ratelimit.admin.pieces import in_pieces


async def test_a_head_request_gets_the_headers_and_makes_nothing() -> None:
    """More of them where they are given; how pieces are written is shown by /stats and /metrics."""

    def never() -> bytes:
        raise AssertionError

    answer = await in_pieces(make_mocked_request("HEAD", "/"), iter(never, b""), "text/plain", {"X-More": "yes"})
    assert (answer.headers["Content-Type"], answer.headers["X-More"]) == ("text/plain", "yes")
