import pytest

from ratelimit.lint.resources import MeshFile
from ratelimit.lint.together import together_findings

KIND = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit"
ACTIONS = "rate_limits: [{actions: [{remote_address: {}}]}]"
ENV = "kind: Deployment\nspec: {template: {spec: {containers: [{env: [%s]}]}}}"
URL = "{name: REDIS_URL, value: 'r:6379'}"


def found(filter_: str, grpc: str = "", env: str = "") -> list[tuple[str, str]]:
    """Rule and message of what a filter and a service beside it come to."""
    service = f"rate_limit_service: {{grpc_service: {{envoy_grpc: {{cluster_name: r}}, {grpc}}}}}"
    text = f'a: {{"@type": {KIND}, domain: d, failure_mode_deny: true, {service}, {ACTIONS}, {filter_}}}\n'
    files = [MeshFile("e.yaml", text.encode()), MeshFile("s.yaml", (ENV % env).encode())]
    return [(each.rule, each.said) for each in together_findings(files, None)]


def test_a_filter_without_timeout() -> None:
    """Its default is told, and where grpc_service has one, that it does nothing."""
    assert found("timeout: 1s") == []
    assert [rule for rule, _ in found("")] == ["timeout-default"]
    ((rule, said),) = found("", "timeout: 1s")
    assert rule == "grpc-timeout-ignored"
    assert said.endswith("which is 20 ms unless given")
    ((rule, said),) = found("timeout: 1s", "timeout: 1s")
    assert (rule, said) == ("grpc-timeout-ignored", "ignored: only the filter's own timeout counts")


@pytest.mark.parametrize(
    ("filter_", "env", "order"),
    [
        ("timeout: 1s", f"{URL}, {{name: REDIS_TIMEOUT, value: 100ms}}", ""),
        (
            "timeout: 0.1s",
            f"{URL}, {{name: REDIS_TIMEOUT, value: 100ms}}",
            "the filter waits 100 ms and REDIS_TIMEOUT is 100",
        ),
        ("", f"{URL}, {{name: REDIS_TIMEOUT, value: 1m}}", "without timeout the filter waits 20 ms"),
        ("timeout: 0.005s", URL, "REDIS_TIMEOUT is 10 ms"),
        ("timeout: 0.005s", "{name: OTHER, value: a}", ""),
        ("timeout: 0.005s", f"{URL}, {{name: REDIS_TIMEOUT, value: 10}}", ""),
        ("timeout: 0.005s", f"{URL}, {{name: REDIS_TIMEOUT, valueFrom: {{}}}}", ""),
        ("timeout: soon", URL, ""),
    ],
)
def test_the_store_is_given_up_first(filter_: str, env: str, order: str) -> None:
    """By the service, and not by Envoy. A value that stands elsewhere is not guessed."""
    said = [said for rule, said in found(filter_, env=env) if rule == "timeout-order"]
    assert len(said) == bool(order)
    assert order in "".join(said)


def test_a_service_of_compose() -> None:
    """Its variables count as those of a container."""
    text = f'a: {{"@type": {KIND}, domain: d, timeout: 1s, {ACTIONS}}}'
    compose = "services: {ratelimit: {environment: {REDIS_URL: 'r:6379', REDIS_TIMEOUT: 2s}}, other: {image: x}}"
    files = [MeshFile("e.yaml", text.encode()), MeshFile("compose.yaml", compose.encode())]
    assert "timeout-order" in {each.rule for each in together_findings(files, None)}


@pytest.mark.parametrize(
    ("retry", "rules"),
    [
        ("retry_back_off: {base_interval: 0.005s, max_interval: 1s}, retry_on: 'connect-failure,refused-stream'", []),
        ("retry_back_off: {base_interval: 0.5s}", []),
        ("retry_back_off: {base_interval: 0.005s}", ["retry-max-interval"]),
        ("retry_back_off: {base_interval: 0.005s, max_interval: 0.5s}", ["retry-max-interval"]),
        ("retry_on: 'connect-failure, reset'", ["retry-charges-twice"]),
    ],
)
def test_retries(retry: str, rules: list[str]) -> None:
    """As long as the filter waits, and only of what cannot have been counted."""
    assert [rule for rule, _ in found("timeout: 1s", f"retry_policy: {{{retry}}}")] == rules
