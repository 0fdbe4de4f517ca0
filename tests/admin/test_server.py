import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ratelimit.admin import pieces
from ratelimit.admin import server as admin_server
from ratelimit.descriptors.loader import ConfigFile, load_config
from tests.admin.running import ASK, Admin, settings

Start = Callable[..., Awaitable[Admin]]


async def test_healthcheck_follows_health(admin: Admin) -> None:
    """200 OK or 500."""
    assert (await admin.get("http", "/healthcheck"))[0] == 500
    admin.health.store_changed(connected=True)
    assert await admin.get("http", "/healthcheck") == (200, "OK")


async def test_pages_show_limits_and_counts(admin: Admin) -> None:
    """/rlconfig, /stats and the same for Prometheus."""
    await admin.get("http", "/json", ASK)
    assert "/rlconfig" in (await admin.get("debug", "/"))[1]
    assert (await admin.get("debug", "/rlconfig"))[1].startswith("d.k: unit=MINUTE requests_per_unit=2")
    assert "ratelimit.service.rate_limit.d.k.total_hits: 1\n" in (await admin.get("debug", "/stats"))[1]
    for listener in ("debug", "metrics"):
        text = (await admin.get(listener, "/metrics"))[1]
        assert 'ratelimit_service_rate_limit_total_hits{domain="d",key1="k"} 1.0' in text
        assert "process_resident_memory_bytes" in text


async def test_scrapes_under_load_are_whole(admin: Admin) -> None:
    """Series come while several scrapes are written: none fails, and each shows one moment."""
    for number in range(3_000):
        admin.metrics.limit(f"d.k_{number}").total_hits += 1
    scrapes = [asyncio.ensure_future(admin.get("debug", path)) for path in ["/metrics", "/stats"] * 2]
    while not all(scrape.done() for scrape in scrapes):
        admin.metrics.limit(f"d.more_{len(admin.metrics.limits)}", configured=False).total_hits += 1
        await asyncio.sleep(0)
    for status, text in [await scrape for scrape in scrapes]:
        assert status == 200
        assert text.count("total_hits") >= 3_000


async def test_a_scrape_lets_others_run(admin: Admin) -> None:
    """It is written in pieces: while 5,000 series are, others get their turn hundreds of times."""
    for number in range(5_000):
        admin.metrics.limit(f"d.k_{number}").total_hits += 1
    scrape = asyncio.ensure_future(admin.get("metrics", "/metrics"))
    turns = 0
    while not scrape.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await scrape)[0] == 200
    assert turns > 300


async def test_a_configuration_of_any_size_is_shown_in_pieces(admin: Admin) -> None:
    """5,000 limits are 5 ms of work in one go; here others run in between."""
    limit = "rate_limit: {unit: minute, requests_per_unit: 5}"
    text = "domain: d\ndescriptors:\n" + "".join(f"  - key: k{number}\n    {limit}\n" for number in range(5_000))
    admin.service.swap(load_config([ConfigFile("f", text.encode())]))
    showing = asyncio.ensure_future(admin.get("debug", "/rlconfig"))
    turns = 0
    while not showing.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await showing)[1].count("\n") == 5_000
    assert turns > 10


@pytest.mark.parametrize("path", ["/metrics", "/stats", "/rlconfig"])
async def test_old_and_short_requests_are_answered_too(admin: Admin, path: str) -> None:
    """HTTP/1.0 knows no chunks, and HEAD wants no body."""
    for line in (b"GET %s HTTP/1.0", b"HEAD %s HTTP/1.1\r\nConnection: close"):
        reader, writer = await admin.connect("debug")
        writer.write(line % path.encode() + b"\r\nHost: x\r\n\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
        assert b" 200 OK" in head
        assert body == b"" if line.startswith(b"HEAD") else body.startswith((b"#", b"r", b"d.k"))
        assert b"chunked" not in head
        writer.close()


async def test_a_reader_that_goes_away_is_no_error(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    """A scrape that times out at the other end leaves no traceback, and the next one is served."""
    for number in range(5_000):
        admin.metrics.limit(f"d.k_{number}").total_hits += 1
    for _ in range(admin_server.SCRAPES_AT_ONCE + 1):
        reader, writer = await admin.connect("metrics")
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.transport.abort()
    assert (await asyncio.wait_for(admin.get("metrics", "/metrics"), 30))[0] == 200
    assert not caplog.records


async def test_a_reader_that_does_not_read_is_cut_off(
    admin: Admin, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds a place among the scrapes no longer than SCRAPE_S."""
    for number in range(5_000):
        admin.metrics.limit(f"d.{'x' * 150}_{number}").total_hits += 1
    monkeypatch.setattr(pieces, "SCRAPE_S", 0.05)
    connections = [await silent_scrape(admin) for _ in range(admin_server.SCRAPES_AT_ONCE)]
    monkeypatch.setattr(pieces, "SCRAPE_S", 30)
    status, text = await asyncio.wait_for(admin.get("metrics", "/metrics"), 60)
    assert (status, text.count("rate_limit_total_hits{")) == (200, 5_000)
    assert not caplog.records
    for one in connections:
        one.close()


async def silent_scrape(admin: Admin) -> socket.socket:
    """A scrape that has begun and whose answer nobody reads."""
    loop, one = asyncio.get_running_loop(), socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.setblocking(False)
    await loop.sock_connect(one, ("127.0.0.1", admin.server.ports["metrics"]))
    await loop.sock_sendall(one, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await loop.sock_recv(one, 12) == b"HTTP/1.1 200"
    return one


async def test_a_slow_reader_gets_everything(admin: Admin) -> None:
    """It slows the writing, and no piece is lost."""
    for number in range(2_000):
        admin.metrics.limit(f"d.{'x' * 150}_{number}").total_hits += 1
    one = await silent_scrape(admin)
    found = bytearray()
    while b"\r\n0\r\n\r\n" not in found[-16:]:
        found += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(one, 16_384), 30)
    assert found.count(b"rate_limit_total_hits{") == 2_000
    one.close()


async def test_an_address_that_cannot_be_bound_is_named() -> None:
    """By its variables; metrics that nobody asked for only warn."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        admin = Admin(settings(prometheus_addr=address))
        await admin.server.start()
        assert "metrics" not in admin.server.ports
        await admin.server.close()
        wanted = Admin(settings(prometheus_addr=address, use_prometheus=True))
        with pytest.raises(OSError, match="PROMETHEUS_ADDR"):
            await wanted.server.start()
        await wanted.server.close()
        with pytest.raises(OSError, match=r"HOST, PORT\): Address already in use"):
            await Admin(settings({"port": taken.getsockname()[1]})).server.start()


async def test_two_instances_share_a_port_only_when_asked(started: Start) -> None:
    """With REUSE_PORT the second one starts; without, it must not take half of the traffic quietly."""
    port = (await started()).server.ports["http"]
    with pytest.raises(OSError, match=r"HOST, PORT\): Address already in use"):
        await started({"port": port})
    shared = (await started({"reuse_port": True})).server.ports["http"]
    with pytest.raises(OSError, match="Address already in use"):
        await started({"port": shared})
    assert (await started({"port": shared, "reuse_port": True})).server.ports["http"] == shared


@pytest.mark.parametrize("host", ["", "::", "[::]"])
async def test_all_interfaces_are_those_of_both_families(started: Start, host: str) -> None:
    """HOST, DEBUG_HOST and PROMETHEUS_ADDR take the same notations, an empty value included."""
    admin = await started({"host": host, "debug_host": host}, prometheus_addr=f"{'[::]' if host else ''}:0")
    for port in admin.server.ports.values():
        for address in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET /none HTTP/1.0\r\n\r\n")
            assert b"404" in await asyncio.wait_for(reader.readline(), 30)
            writer.close()


async def test_a_mapping_file_names_the_metrics(tmp_path: Path) -> None:
    """On both ports; what belongs to the process stands beside them."""
    file = tmp_path / "mapping.yaml"
    file.write_text("mappings: [{match: ratelimit.service.config_load_success, name: loads}]")
    admin = Admin(settings(prometheus_mapper_yaml=str(file), extra_tags={}))
    await admin.server.start()
    admin.metrics.config_load_success = 3
    text = (await admin.get("metrics", "/metrics"))[1]
    await admin.server.close()
    assert "\nloads 3.0\n" in text
    assert "process_open_fds" in text


@pytest.mark.parametrize("text", [None, "mappings: [{match: a}]"])
async def test_a_mapping_file_that_cannot_be_used_is_told(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metrics shall not keep calls from being answered: each stat has its own name, as in the reference."""
    file = tmp_path / "mapping.yaml"
    if text is not None:
        file.write_text(text)
    admin = Admin(settings(prometheus_mapper_yaml=str(file)))
    await admin.server.start()
    shown = (await admin.get("metrics", "/metrics"))[1]
    await admin.server.close()
    assert "ratelimit_redis_pool_cx_active 0.0" in shown
    assert "PROMETHEUS_MAPPER_YAML cannot be used" in capsys.readouterr().out
