"""What will differ for a deployment, each with the row of docs/differences.md that it belongs to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ratelimit.descriptors.loader import load_config
from ratelimit.errors import ConfigError, SettingsError
from ratelimit.migration.deployment import Deployment, read_deployment
from ratelimit.settings import ConfigSettings, Settings, load_settings
from ratelimit.sources.directory import load_limits
from ratelimit.sources.files import read_directory

PLACE = "docs/differences.md"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs where `applies` says so: the beginning of its row, and what brings the old behaviour, or nothing."""

    row: str
    switch: str
    said: str
    applies: Callable[[Settings, Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before the switch. `stops`: the service does not start, or has no configuration."""

    said: str
    row: str = ""
    switch: str = ""
    stops: bool = False


def _not_given(name: str) -> Callable[[Settings, Mapping[str, str]], bool]:
    return lambda _, environ: name not in environ


def _memcache(settings: Settings, _: Mapping[str, str]) -> bool:
    return settings.limiter.backend_type == "memcache"


DIFFERENCES = (
    Difference(
        "counter keys carry lengths, the unit and the algorithm",
        "COUNTER_KEY_FORMAT=reference",
        "counters begin anew at the switch: in the windows of that moment up to twice the limit may pass",
        lambda settings, _: settings.limiter.counter_key_format == "exact",
    ),
    Difference(
        "errors are UNAVAILABLE (store), INVALID_ARGUMENT (request), with the same messages",
        "GRPC_ERROR_CODES=reference",
        "errors have other status codes: alerts on code 2 (UNKNOWN) see them no more",
        lambda settings, _: settings.server.grpc_error_codes == "exact",
    ),
    Difference(
        "`REDIS_TIMEOUT` is 10 ms by default and bounds each call",
        "REDIS_TIMEOUT=10s",
        "REDIS_TIMEOUT is not set: a call that waits longer than 10 ms for the store fails",
        lambda settings, environ: settings.limiter.backend_type != "memory" and "REDIS_TIMEOUT" not in environ,
    ),
    Difference(
        "Prometheus on :9090 by default, statsd only when asked for",
        "USE_STATSD=true",
        "no sink is chosen: statsd at STATSD_HOST hears nothing more, and port 9090 is opened for Prometheus",
        lambda settings, _: (
            settings.metrics.use_statsd is None
            and settings.metrics.use_prometheus is None
            and not settings.metrics.disable_stats
            and not settings.dog_statsd.use_dog_statsd
        ),
    ),
    Difference(
        "the debug port listens on loopback",
        "DEBUG_HOST=0.0.0.0",
        "DEBUG_HOST is not set: the debug port cannot be reached from outside of the pod",
        _not_given("DEBUG_HOST"),
    ),
    Difference(
        "SIGTERM drains: NOT_SERVING, `DRAIN_DELAY`, open calls are answered, streams end UNAVAILABLE",
        "DRAIN_DELAY=0 DRAIN_GRACE=0",
        "the end takes longer: terminationGracePeriodSeconds wants to be above DRAIN_DELAY + DRAIN_GRACE",
        lambda settings, _: settings.server.drain_delay + settings.server.drain_grace > 0,
    ),
    Difference(
        'a second instance on the same ports ends with "address already in use"',
        "REUSE_PORT=true",
        "two instances on one machine (hostNetwork) do not share the ports",
        lambda settings, _: not settings.server.reuse_port,
    ),
    Difference(
        "`STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT` looks and charges in one script, and creates no counter of 0",
        "",
        "the counters of a domain lie together, in one hash slot of a Cluster",
        lambda settings, _: settings.limiter.stop_cache_key_increment_when_overlimit,
    ),
    Difference(
        "the over-limit cache knows the limit of a key",
        "",
        "a limit that is raised lets pass at once, though the key is known to be over the lower one",
        lambda settings, _: settings.limiter.local_cache_size_in_bytes > 0,
    ),
    Difference(
        "memcached counts before it answers, with a TTL from the hit that creates",
        "",
        "a burst is counted while it is answered, and a memcached that is away fails calls",
        _memcache,
    ),
    Difference(
        "SRV records of memcached are put in one order; keys of more than 250 bytes",
        "",
        "keys are spread over the servers in another order than the reference may have had",
        lambda settings, environ: _memcache(settings, environ) and bool(settings.memcache.memcache_srv),
    ),
    Difference(
        "with `BACKEND_TYPE=memcache` the service is healthy once every server has counted",
        "",
        "an instance is ready only once each memcached has counted",
        _memcache,
    ),
)
_STRICTNESS = ("repeated and misplaced keys in a file are errors", "CONFIG_STRICT=false")


def migrate_check(environment: Path, directory: Path | None, out: TextIO) -> int:
    """Write what will differ; 0 where the service would start and load, 1 where not, or a file cannot be read."""
    try:
        deployment = read_deployment(environment)
    except ConfigError as error:
        out.write(f"{error}\n")
        return 1
    found = list(findings(deployment, directory))
    parts = {
        "must be mended first:": [each for each in found if each.stops],
        "will differ:": [each for each in found if not each.stops and each.row],
        "to know:": [each for each in found if not each.stops and not each.row],
    }
    lines = [line for title, some in parts.items() if some for line in (title, *_lines(some))]
    out.write("".join(f"{line}\n" for line in lines))
    return 1 if any(each.stops for each in found) else 0


def findings(deployment: Deployment, directory: Path | None) -> Iterator[Finding]:
    """What there is to know of a deployment, and of the files below `directory` (None to leave them out)."""
    if deployment.elsewhere:
        yield Finding(f"kept elsewhere, and not looked at: {', '.join(deployment.elsewhere)}")
    try:
        settings = load_settings(deployment.environ)
    except SettingsError as error:
        yield from (Finding(f"{name}: {reason}", stops=True) for name, reason in error.problems)
        settings = None
    if settings is not None:
        yield from (
            Finding(each.said, each.row, each.switch)
            for each in DIFFERENCES
            if each.applies(settings, deployment.environ)
        )
        yield from (Finding(text) for text in settings.warnings)
    if directory is not None:
        yield from _of_files(directory, settings.config if settings is not None else ConfigSettings())


def _of_files(directory: Path, settings: ConfigSettings) -> Iterator[Finding]:
    limits = load_limits(settings)
    try:
        files = read_directory(
            directory, ignore_dot_files=settings.runtime_ignoredotfiles, file_bytes_max=limits.file_bytes_max
        )
        merge = settings.merge_domain_config
        config = load_config(files, strict=False, merge_domains=merge, limits=limits)
    except ConfigError as error:
        yield Finding(str(error), stops=True)
        return
    strict = settings.config_strict
    yield from (Finding(text, *_STRICTNESS, stops=strict) for text in config.warnings)


def _lines(found: list[Finding]) -> Iterator[str]:
    for each in found:
        yield f"- {each.said}"
        if each.row:
            kept = f"; as before with {each.switch}" if each.switch else ""
            yield f"  ({PLACE}: {each.row}{kept})"
