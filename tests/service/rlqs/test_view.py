import pytest

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.service.rlqs.view import bucket_share, order_of, told_of_limit
from tests.service.rlqs.streams import CONFIG, PingedEnvoy, quota_service, report

LOADED = load_config([ConfigFile("f.yaml", CONFIG.encode())])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("free", "everything passes, since the limit is unlimited"),
        ("watched", "everything passes, since the limit is in shadow mode"),
        ("exact", "Envoy asks ShouldRateLimit"),
        ("none", "nothing passes"),
        ("prod", "100 requests per second are divided"),
    ],
)
def test_what_a_bucket_is_told_is_said(value: str, said: str) -> None:
    """By what its limit is."""
    limit = LOADED.domains["d"].children[f"name_{value}"].limit
    assert limit is not None
    assert said in " ".join(told_of_limit(limit))


def test_a_fleet_that_is_too_large_is_told() -> None:
    """With the even share."""
    text = "domain: d\ndescriptors: [{key: a, rate_limit: {unit: second, requests_per_unit: 30}, quota_assignment: "
    limit = load_config([ConfigFile("f", f"{text}{{expected_envoys: 3}}}}]".encode())]).domains["d"].children["a"].limit
    assert limit is not None
    _, even, warning = told_of_limit(limit)
    assert even == "an even share of 3 Envoys is 10 per second each"
    assert warning.startswith("warning: 30 requests per second are too few for 3 Envoys")


def test_the_order_of_a_bucket_id() -> None:
    """The tree's, or by the keys where there is none."""
    assert order_of(LOADED, "d", {"user": "x"}) == (("user", "x"),)
    assert order_of(LOADED, "e", {"b": "1", "a": "2"}) == (("a", "2"), ("b", "1"))


async def test_shares_show_the_largest_envoys() -> None:
    """So many of them, and how many there are."""
    service, _ = quota_service()
    envoys = [PingedEnvoy(service) for _ in range(3)]
    for envoy in envoys:
        await envoy.told(report(("name", "prod", 1, 0)))
    (bucket,) = service.ledgers
    share = bucket_share(bucket, 0.0, 2)
    assert (len(share["envoys"]), share["envoys_all"]) == (2, 3)
    for envoy in envoys:
        await envoy.end()
    service.close()
