import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from loadtest.answers import LoadFailedError
from loadtest.cases import CASES
from loadtest.measuring import measure, parse_h2load, parse_log
from loadtest.servers import PROOF, Server, programs, start_server

TEXT = """finished in 1.50s, 4000.50 req/s, 1MB/s
requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed
traffic: 17.93MB (18800252) total, 3.81MB (4000000) headers (space savings 47.37%), 6.10MB (320) data
"""


def test_h2load_s_answer_is_read() -> None:
    """The rate, and only where every request succeeded and got a message."""
    assert parse_h2load(TEXT, 10) == 4000.5
    with pytest.raises(LoadFailedError, match="did not get 11 answers"):
        parse_h2load(TEXT, 11)
    with pytest.raises(LoadFailedError, match="only 120 bytes of messages"):
        parse_h2load(TEXT.replace("320", "120"), 10)
    with pytest.raises(LoadFailedError, match="did not get 10 answers"):
        parse_h2load("", 10)


def test_h2load_s_log_is_read() -> None:
    """The third column, in milliseconds."""
    assert parse_log("1795575080359219\t200\t1030\n1795575080359220\t200\t54\n") == [1.03, 0.054]


@pytest.mark.integration
async def test_a_case_is_measured_with_the_server_s_own_time(
    tmp_path: Path, valkey_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With h2load where it is there, and with the client of ours."""
    async with AsyncExitStack() as stack:
        server = await start_server(stack, programs({})[-1], tmp_path, valkey_port)
        cases = {case.name: case for case in CASES}
        for sample in (await measure(cases["4x32"], server, 4000), await measure(cases["envoy"], server, 4000)):
            assert sample.rate > 0
            assert 0 < sample.cpu_us < 1000
            assert 0 < sample.p50_ms <= sample.p99_ms
            assert 0 < sample.server_busy < 1.5
        monkeypatch.setattr("shutil.which", lambda name: None)
        assert (await measure(cases["4x32"], server, 4000)).client_busy is not None
        with pytest.raises(LoadFailedError, match="another code"):
            await measure(cases["over"], server, 200)
        assert server.name == PROOF


async def test_a_client_that_fails_tells_why() -> None:
    """Nobody listens."""
    with pytest.raises(LoadFailedError, match="refused"):
        await measure(CASES[3], Server("none", 1, os.getpid()), 256)
