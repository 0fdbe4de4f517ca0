"""The rate limit quota service: Envoys count for themselves, and a limit is divided over them."""

from typing import Annotated, Literal

from ratelimit.settings.go_values import Boolean
from ratelimit.settings.group import Bound, Group, Lower, Positive, setting

Answer = Annotated[Literal["allow", "deny", "abandon"], Lower]


class QuotaSettings(Group):
    """Limits divided over Envoys (rate limit quota service)."""

    rlqs_enabled: Boolean = setting(
        True,
        (
            "serve envoy.service.rate_limit_quota.v3; not served where several processes would each divide the whole: "
            "`BACKEND_TYPE=memcache` with `WORKERS` other than 1"
        ),
        ours=True,
    )
    rlqs_ack: Annotated[Literal["ping", "report", "detect"], Lower] = setting(
        "detect",
        (
            "how it is known that an Envoy obeys: `ping`, the answer to a PING behind each assignment; `report`, its "
            "reports, up to 6 s later; `detect`, as ping, but as report for a stream that came through a proxy, which "
            "would answer for the Envoy ([rlqs.md](rlqs.md#through-a-proxy))"
        ),
        ours=True,
    )
    rlqs_envoy_metadata: str = setting(
        "",
        "the key of `initial_metadata` that names an Envoy, so that it is known again; empty: each stream is one",
        ours=True,
    )
    rlqs_class_metadata: str = setting(
        "", "the key of `initial_metadata` that names its class, for `weights`", ours=True
    )
    rlqs_unknown_domain: Answer = setting(
        "allow", "what buckets of a domain that no file configures are told: `allow`, `deny` or `abandon`", ours=True
    )
    rlqs_unknown_bucket: Answer = setting(
        "allow", "the same for buckets that reach no limit, and for those beyond the two bounds of a domain", ours=True
    )
    rlqs_streams_max: Positive = setting(
        2000, "streams of Envoys at a time in one process; one more ends RESOURCE_EXHAUSTED", ours=True
    )
    rlqs_stream_buckets_max: Positive = setting(
        2000, "buckets of one stream; one more ends it RESOURCE_EXHAUSTED", ours=True
    )
    rlqs_domain_buckets_max: Positive = setting(10000, "limits of a domain that are divided at a time", ours=True)
    rlqs_domain_rows_max: Positive = setting(
        200000, "buckets of all Envoys of a domain in one process, about 1 KiB each", ours=True
    )
    rlqs_usages_per_second: Positive = setting(
        20000, "reports of buckets taken from one stream in a second; it is read more slowly beyond", ours=True
    )
    rlqs_write_timeout: Bound = setting(
        10.0, "an Envoy that does not read what it is told for so long is cut off", ours=True
    )
