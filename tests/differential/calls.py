"""Calls that ask for status codes, bodies and content types, rather than for counting."""

import json
from typing import Any

from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import SERVICE_NAME
from tests.differential.compare import Call, Http, Rpc

CONFIG = """\
domain: d
descriptors:
  - key: k
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: large
    value: "1"
    rate_limit: {unit: DAY, requests_per_unit: 4294967295}
  - key: free
    rate_limit: {unlimited: true}
  - key: quiet
    shadow_mode: true
    rate_limit: {unit: minute, requests_per_unit: 0}
  - key: quota
    quota_mode: true
    rate_limit: {unit: week, requests_per_unit: 7, name: weekly}
  - key: a
    descriptors:
      - key: b
        value: c
        rate_limit: {unit: second, requests_per_unit: 1000000}
"""


def request(*entries: tuple[str, str], domain: str = "d", **more: Any) -> dict[str, Any]:
    """A request with one descriptor, as JSON has it."""
    return {"domain": domain, "descriptors": [{"entries": [{"key": k, "value": v} for k, v in entries]}], **more}


K = request(("k", "v"))
# Objects of JSON, good and bad ones.
OBJECTS: tuple[Any, ...] = (
    K, K, K,
    request(("large", "1")), request(("free", "")), request(("quiet", "x")), request(("none", "x")),
    request(("k", "v"), domain="nowhere"), request(("a", "x"), ("b", "c")),
    {}, [], None, "text", 1, True,
    {"domain": "d"}, {"domain": "", "descriptors": K["descriptors"]}, {"domain": "d", "descriptors": []},
    {"domain": None, "descriptors": None}, {"domain": 1}, {"domain": ["d"]}, {"domain": "d", "descriptors": {}},
    {**K, "unknown": 1}, {**K, "hitsAddend": 1}, {**K, "hits_addend": "1"}, {**K, "hitsAddend": 1.0},
    {**K, "hitsAddend": 1.5}, {**K, "hitsAddend": -1}, {**K, "hitsAddend": "1e0"}, {**K, "hitsAddend": None},
    {**K, "hitsAddend": 4294967296}, {**K, "hitsAddend": ""}, {**K, "hitsAddend": " 1"}, {**K, "hitsAddend": True},
    {**K, "HitsAddend": 1}, {**K, "Domain": "d"}, {**K, "@type": "x"}, {**K, "descriptors": [None]},
    {**K, "descriptors": [{}]}, {**K, "descriptors": [{"entries": None}]}, {**K, "descriptors": [{"entries": [None]}]},
    {**K, "descriptors": [{"entries": [{"key": "quota", "value": None}]}]},
    {**K, "descriptors": [{"entries": [{"key": 1, "value": "v"}]}]},
    {**K, "descriptors": [{"entries": [{"key": "k", "value": "v", "x": 1}]}]},
)  # fmt: skip


def with_limit(limit: Any, **more: Any) -> dict[str, Any]:
    """A request whose descriptor brings a limit of its own."""
    descriptor = {"entries": [{"key": "own", "value": json.dumps(limit)}], "limit": limit, **more}
    return {"domain": "d", "descriptors": [descriptor]}


LIMITS: tuple[Any, ...] = (
    {"requestsPerUnit": 3, "unit": "HOUR"}, {"requests_per_unit": "3", "unit": 4}, {"requestsPerUnit": 3, "unit": 4.0},
    {"requestsPerUnit": 3, "unit": "hour"}, {"requestsPerUnit": 3, "unit": "4"}, {"requestsPerUnit": 3, "unit": "FOO"},
    {"requestsPerUnit": 3, "unit": 6}, {"requestsPerUnit": 3, "unit": "YEAR"}, {"requestsPerUnit": 3, "unit": "WEEK"},
    {"requestsPerUnit": -3, "unit": "DAY"}, {"requestsPerUnit": "x", "unit": "DAY"}, None, [], "x", 1,
)  # fmt: skip
ADDENDS: tuple[Any, ...] = (0, 1, "1", None, {"value": 1}, "x", -1, 1.5, True, "4294967296", [])
# Texts that no object makes.
TEXTS = (
    b"", b" ", b"\n", b"{", b"}", b"{}", b"{} ", b"{}{}", b"null", b"nul", b"[]", b"\xff", b"\xef\xbb\xbf{}",
    b'{"domain":"d",}', b'{"domain":"d" "x":1}', b"{'domain':'d'}", b'{domain:"d"}', b'{"domain":"d"}//',
    b'{"domain":"d","domain":"d"}', b'{"domain":"\\ud800"}', b'{"domain":"\\u00e9\\ud83d\\ude00"}',
    b'{"domain":"\xff"}',
    b'{"domain":"a\nb"}', b'{"domain":"\\x"}', b'{"hitsAddend":01}', b'{"hitsAddend":1e400}', b'{"hitsAddend":NaN}',
    b'{"hitsAddend":+1}', b'{"hitsAddend":.5}', b'{"hitsAddend":1E0,"domain":"d"}', b'{"hitsAddend":-0}',
    b'{"hits_addend":1,"hitsAddend":1,"domain":"d"}', b'{"domain":"d","descriptors":[]} x', b"x" * 1000,
    b"domain: d",
)  # fmt: skip


def json_calls() -> list[Call]:
    """/json and /healthcheck: what is right, what is wrong, and how else it may be asked."""
    objects = (*OBJECTS, *map(with_limit, LIMITS))
    addends = (with_limit({"requestsPerUnit": 9, "unit": "DAY"}, hitsAddend=each) for each in ADDENDS)
    bodies = [*(json.dumps(each).encode() for each in (*objects, *addends)), *TEXTS]
    ask = json.dumps(request(("large", "1"))).encode()
    return [
        *(Http("/json", body) for body in bodies),
        *(Http("/json", ask, method) for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS")),
        *(Http("/json", ask, headers={"Content-Type": kind}) for kind in ("text/plain", "application/grpc", "")),
        *(
            Http("/json", ask, headers={"Content-Encoding": name})
            for name in ("br", "gzip", "deflate", "identity", "x")
        ),
        Http("/json", method="GET"),
        Http("/json?x=1", ask),
        *(Http(path, ask) for path in ("/json/", "/JSON", "/", "/healthcheck/", "/none")),
        *(Http("/healthcheck", method=method) for method in ("GET", "POST", "HEAD", "DELETE")),
    ]


def page_calls() -> list[Call]:
    """/rlconfig."""
    return [Http("/rlconfig", method=method, debug=True) for method in ("GET", "POST", "HEAD")]


def rpc_calls() -> list[Call]:
    """Status codes of calls that do not get as far as a decision, and of some that do."""
    good = rls_pb2.RateLimitRequest(domain="d")
    good.descriptors.add().entries.add(key="large", value="1")
    message = good.SerializeToString()
    empty_descriptor = rls_pb2.RateLimitRequest(domain="d", descriptors=[{}]).SerializeToString()
    return [
        Rpc(message),
        Rpc(message + b"\xa2\x06\x01x"),  # a field that nobody knows
        *(Rpc(body) for body in (b"", b"\xff", b"\x0a\x05d", b"\x0a\x01\xff", message[:-1], empty_descriptor)),
        Rpc(rls_pb2.RateLimitRequest(domain="d").SerializeToString()),
        Rpc(rls_pb2.RateLimitRequest(domain="", descriptors=good.descriptors).SerializeToString()),
        Rpc(message, "/envoy.service.ratelimit.v3.RateLimitService/Other"),
        Rpc(message, f"/{SERVICE_NAME}/"),
        Rpc(message, "/envoy.service.ratelimit.v2.RateLimitService/ShouldRateLimit"),
        Rpc(message, "/nothing"),
        Rpc(message, "nothing"),
        Rpc(b"\x0a" + b"\xff\xff\xff\x7f"),
        Rpc(b"\x00" * (4 * 1024 * 1024 + 1)),
        Rpc(message, metadata=(("x-some", "header"),)),
        Rpc(b"", "/grpc.health.v1.Health/Check"),
        Rpc(b"\x0a\x09ratelimit", "/grpc.health.v1.Health/Check"),
        Rpc(b"\x0a\x04none", "/grpc.health.v1.Health/Check"),
    ]
