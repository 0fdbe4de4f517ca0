"""Timeouts and retries of the filter, held against those of the service's store."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ratelimit.lint.envoy import Envoy, Filter
from ratelimit.lint.finding import Finding, at
from ratelimit.lint.items import Item, duration_s
from ratelimit.lint.resources import Resource
from ratelimit.settings import load_settings, variables
from ratelimit.settings.go_values import duration_s as go_duration_s

FILTER_TIMEOUT_S = 0.02
REDIS_TIMEOUT = "REDIS_TIMEOUT"
_BACK_OFF_FACTOR = 10
# Retries of calls that the service may have counted.
_CHARGED_TWICE = ("reset", "5xx", "gateway-error", "deadline-exceeded", "cancelled", "internal")


def timeout_findings(envoy: Envoy, resources: Sequence[Resource]) -> Iterator[Finding]:
    """What contradicts itself, or does not do what it says."""
    stores = [item for resource in resources for item in _redis_timeouts(resource)]
    for each in envoy.filters:
        timeout = each.config.get("timeout")
        waits = duration_s(timeout) if timeout.given else FILTER_TIMEOUT_S
        if waits is not None:
            yield from _store(each, waits, stores)
            yield from _retries(each, waits)
        grpc = each.config.get("rate_limit_service", "grpc_service")
        if grpc.get("timeout").given:
            said = "ignored: only the filter's own timeout counts"
            if not timeout.given:
                said += f", which is {_ms(FILTER_TIMEOUT_S)} unless given"
            yield Finding("grpc-timeout-ignored", grpc.get("timeout").place, said, "move it to the filter's `timeout`")
        elif not timeout.given:
            said = f"without timeout the filter waits {_ms(FILTER_TIMEOUT_S)}, and then failure_mode_deny decides"
            yield Finding("timeout-default", each.place, said, "write timeout: 0.25s, or what the calls need")


def _store(each: Filter, waits_s: float, stores: list[tuple[Item, float]]) -> Iterator[Finding]:
    for item, store_s in stores:
        if store_s >= waits_s:
            given = "the filter waits" if each.config.get("timeout").given else "without timeout the filter waits"
            said = (
                f"{given} {_ms(waits_s)} and {REDIS_TIMEOUT} is {_ms(store_s)} ({at(item.place)}): Envoy gives up first"
            )
            place = each.config.get("timeout").place
            yield Finding("timeout-order", place, said, f"make {REDIS_TIMEOUT} the shorter one")


def _retries(each: Filter, waits_s: float) -> Iterator[Finding]:
    grpc = each.config.get("rate_limit_service", "grpc_service")
    for retry in (grpc.get("retry_policy"), grpc.get("envoy_grpc", "retry_policy")):
        back_off = retry.get("retry_back_off")
        base, most = duration_s(back_off.get("base_interval")), duration_s(back_off.get("max_interval"))
        if most is None and base is not None:
            most = _BACK_OFF_FACTOR * base
        if most is not None and most < waits_s:
            given = (
                "" if back_off.get("max_interval").given else f", {_BACK_OFF_FACTOR} times base_interval unless given,"
            )
            said = f"max_interval{given} acts as a timeout of each try: it ends after {_ms(most)} of {_ms(waits_s)}"
            place = back_off.get("max_interval").place
            yield Finding("retry-max-interval", place, said, f"write max_interval: {waits_s:g}s, the filter's timeout")
        words = [word.strip() for word in retry.get("retry_on").text.split(",")]
        twice = [word for word in words if word in _CHARGED_TWICE]
        if twice:
            said = f"{', '.join(twice)}: a try that was counted is sent again and counted twice"
            yield Finding(
                "retry-charges-twice", retry.get("retry_on").place, said, "write connect-failure,refused-stream"
            )


def _redis_timeouts(resource: Resource) -> Iterator[tuple[Item, float]]:
    """REDIS_TIMEOUT of each container that is a rate limit service, and where it stands: given, or the default.

    Containers are those of Kubernetes and of compose.
    """
    composed = resource.item.get("services").fields.values() if not resource.kind else ()
    for container in (*containers_of(resource), *composed):
        environ = env_of(container)
        if not {"REDIS_URL", "RUNTIME_ROOT"} & environ.keys():
            continue
        item = environ.get(REDIS_TIMEOUT, container)
        try:
            found: Any = go_duration_s(item.text) if REDIS_TIMEOUT in environ else load_settings({}).redis.redis_timeout
        except ValueError:
            continue
        yield item, found


def containers_of(resource: Resource) -> list[Item]:
    """The containers of what makes pods."""
    return resource.spec.get("template", "spec", "containers").elements


def env_of(container: Item) -> Mapping[str, Item]:
    """The variables of a container; what stands elsewhere has no value here."""
    known = variables()
    given = {each.get("name").text: each.get("value") for each in container.get("env").elements}
    given |= container.get("environment").fields  # of a service of compose
    return {name: value for name, value in given.items() if name in known}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"
