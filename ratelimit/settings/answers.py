"""What is said to the caller."""

import re
from typing import Annotated

from pydantic import AfterValidator

from ratelimit.settings.go_values import Boolean
from ratelimit.settings.group import Group, read_as, setting

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("UTF-8 is wanted: a reply could not hold it") from None
    return value


def _token(value: str) -> tuple[str, str] | None:
    return None if _TOKEN.fullmatch(value) else (value, "it is sent as it stands, and is no name of a header")


HeaderName = Annotated[str, AfterValidator(_utf8), read_as(_token)]


class ResponseSettings(Group):
    """What is said to the caller."""

    shadow_mode: Boolean = setting(False, "the overall code is always OK")
    quota_mode: Boolean = setting(False, "every limit is in quota mode")
    limit_response_headers_enabled: Boolean = setting(False, "add the three headers of the tightest limit")
    limit_limit_header: HeaderName = setting("RateLimit-Limit", "name of the limit")
    limit_remaining_header: HeaderName = setting("RateLimit-Remaining", "name of what remains")
    limit_reset_header: HeaderName = setting("RateLimit-Reset", "name of the seconds until reset")
    response_dynamic_metadata: Boolean = setting(False, "tell the request and the metadata of the limits that passed")
