import asyncio

import aiohttp
import pytest

from ratelimit.admin import listener, profiling
from tests.admin.running import Admin, until


async def get(admin: Admin, path: str) -> tuple[int, str, str]:
    """Status, content type and text of a page of the debug port."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{admin.server.ports['debug']}{path}") as response,
    ):
        return response.status, response.content_type, await response.text()


async def test_the_index_names_the_pages(admin: Admin) -> None:
    """So does the first page; the API's port has none of them."""
    for path in ("/", "/debug", "/debug/"):
        assert "/debug/flame?seconds=5: " in (await get(admin, path))[2]
    assert (await admin.get("http", "/debug/stacks"))[0] == 404


async def test_stacks_are_shown(admin: Admin) -> None:
    """Those of the thread that answers too."""
    status, kind, text = await get(admin, "/debug/stacks")
    assert (status, kind) == (200, "text/plain")
    assert "thread MainThread" in text


async def test_a_profile_is_taken_one_at_a_time(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """As collapsed stacks or as a graph; calls are answered meanwhile."""
    monkeypatch.setattr(profiling, "INTERVAL_S", 1.0)
    profile = asyncio.ensure_future(get(admin, "/debug/profile?seconds=1"))
    await until(lambda: admin.server._debug._profiling)
    assert (await get(admin, "/debug/flame?seconds=1"))[0] == 429
    assert "MainThread;" in (await profile)[2]
    monkeypatch.setattr(profiling, "INTERVAL_S", 0.1)
    status, kind, text = await get(admin, "/debug/flame?seconds=1")
    assert (status, kind) == (200, "image/svg+xml")
    assert "samples in 1 s" in text


async def test_a_long_profile_is_not_cut_off(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection may be busy for longer than others."""
    monkeypatch.setattr(listener, "BUSY_S", 0.2)
    asyncio.get_running_loop().call_later(0.5, admin.server._debug._stop.set)
    assert (await get(admin, "/debug/profile?seconds=60"))[0] == 200


async def test_the_end_does_not_wait_for_a_profile(admin: Admin) -> None:
    """It is cut short."""
    profile = asyncio.ensure_future(get(admin, "/debug/profile?seconds=60"))
    await until(lambda: admin.server._debug._profiling)
    async with asyncio.timeout(30):
        await admin.server.close()
        await asyncio.gather(profile, return_exceptions=True)


@pytest.mark.parametrize("seconds", ["0", "61", "-1", "1.5", "", "x", "9" * 5000, "٣"])
async def test_what_is_no_number_of_seconds_is_refused(seconds: str, admin: Admin) -> None:
    """With the bounds."""
    status, _, text = await get(admin, f"/debug/profile?seconds={seconds}")
    assert (status, "from 1 to 60" in text) == (400, True)
