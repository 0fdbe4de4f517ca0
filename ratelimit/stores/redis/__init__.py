"""Redis and Valkey: connections that many batches share, the scripts that count, the store on top."""

import sys

# redis-py imports OpenTelemetry wherever that is installed, for metrics of its own that nobody asked for: 0.1 s of each
# start and 10 MB. While its name stands for nothing, redis-py goes on without.
if "opentelemetry" not in sys.modules:
    absent: dict[str, object] = {"opentelemetry": None}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        import redis.asyncio  # noqa: F401
    finally:
        del sys.modules["opentelemetry"]
