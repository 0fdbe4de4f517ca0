import json
from pathlib import Path

import pytest

from tests.differential.calls import CONFIG, K, rpc_calls
from tests.differential.compare import Http
from tests.differential.instance import common
from tests.differential.ours import start_ours

pytestmark = pytest.mark.integration

# What the reference starts and serves with, strange as it is.
ODD = {
    "BACKEND_TYPE": "",
    "EXPIRATION_JITTER_MAX_SECONDS": "99999999999",
    "EXTRA_TAGS": " ",
    "GRPC_MAX_CONNECTION_AGE": "0",
    "GRPC_MAX_CONNECTION_AGE_GRACE": "-1s",
    "LIMIT_LIMIT_HEADER": "",
    "LIMIT_RESPONSE_HEADERS_ENABLED": "1",
    "LOCAL_CACHE_SIZE_IN_BYTES": "-1",
    "LOG_FORMAT": "xml",
    "LOG_LEVEL": "WaRNing",
    "MEMCACHE_SRV": "nonsense",
    "NEAR_LIMIT_RATIO": "nan",
    "PROMETHEUS_ADDR": "x",
    "REDIS_PIPELINE_WINDOW": "-1s",
    "REDIS_POOL_SIZE": "0",
    "REDIS_SOCKET_TYPE": "tcp4",
    "REDIS_STARTUP_INITIAL_INTERVAL": "-1s",
    "REDIS_TIMEOUT": "0",
    "REDIS_TLS_CLIENT_CERT": "/nowhere",
    "STATSD_PORT": "70000",
    "STATS_FLUSH_INTERVAL": "50ms",
    "TRACING_SAMPLING_RATE": "nan",
    "USE_PROMETHEUS": "f",
    "USE_STATSD": "T",
}
TOLD = {
    "EXPIRATION_JITTER_MAX_SECONDS",
    "LIMIT_LIMIT_HEADER",
    "LOCAL_CACHE_SIZE_IN_BYTES",
    "LOG_FORMAT",
    "NEAR_LIMIT_RATIO",
    "REDIS_PIPELINE_WINDOW",
    "REDIS_POOL_SIZE",
    "REDIS_SOCKET_TYPE",
    "REDIS_TIMEOUT",
    "STATSD_PORT",
    "TRACING_SAMPLING_RATE",
}


async def test_what_is_strange_is_served_and_told(tmp_path: Path, valkey_port: int) -> None:
    """All of it at once: calls are counted, and the log has one line for each that does not act as it stands."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "d.yaml").write_text(CONFIG)
    ours = await start_ours(tmp_path, {**common(valkey_port, tmp_path, ""), **ODD})
    try:
        said = [await Http("/json", json.dumps(K).encode()).send(ours) for _ in range(3)]
        assert [each["status"] for each in said] == [200, 200, 429]
        assert (await rpc_calls()[0].send(ours))["code"] == "OK"
    finally:
        await ours.stop()
    lines = (tmp_path / "ours.log").read_text().splitlines()
    told = [line.split(" msg=")[1].strip('"').split()[0] for line in lines if " level=warning " in line]
    assert sorted(each for each in told if each in ODD) == sorted(TOLD)
