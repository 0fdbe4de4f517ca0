"""/explain?domain=D&entries=k=v: why such a request is limited or not, under the configuration in force.

JSON, or for a browser a form and the answer as text. `entries` has an entry a line, and an empty line, or another
`entries`, begins the next descriptor. What is used of each limit now is looked up with a hit of 0, which creates and
changes no counter; where the store does not answer, that is said.
"""

import asyncio
import json
from collections.abc import Sequence
from html import escape
from typing import Any

from aiohttp import web

from ratelimit.admin.json_api import Configured
from ratelimit.clock import Clock, SystemClock
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.errors import RpcError
from ratelimit.limiter.explanation import explain
from ratelimit.limiter.explanation_report import current, report, text_lines
from ratelimit.metrics import LimitStats
from ratelimit.service.messages import look_bytes, told_of
from ratelimit.service.planning import decision_rules, make_planner
from ratelimit.settings import Settings

# One that misses among a thousand others may hold the event loop for some 10 ms, where texts are long.
DESCRIPTORS_MAX = 4
LOOK_S = 2.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}


class _WrongQuestionError(Exception):
    """The query cannot be answered; for the caller, with its HTTP status."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class ExplainPage:
    """The handler of /explain."""

    def __init__(self, settings: Settings, service: Configured, clock: Clock | None = None) -> None:
        self._planner = make_planner(settings, lambda *_: LimitStats())
        self._rules = decision_rules(settings)
        self._shadow_mode = settings.response.shadow_mode
        self._service = service
        self._clock = clock or SystemClock()
        # One at a time: many together would hold the loop for as long as they are many.
        self._turn = asyncio.Lock()

    async def handle(self, request: web.Request) -> web.Response:
        """200 with the answer, or 400, 405 and 503 with what is wrong."""
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, text="GET is wanted\n", headers={**HEADERS, "Allow": "GET, HEAD"})
        domain, blocks = request.query.get("domain", ""), request.query.getall("entries", [])
        in_html = "text/html" in request.headers.get("Accept", "")
        if in_html and not request.query:
            return _page(200, domain, blocks, "")
        try:
            answer = await self._answer(Request(domain, descriptors_of(blocks)))
        except _WrongQuestionError as error:
            status, text, value = error.status, str(error), {"error": str(error)}
        else:
            status, text, value = 200, "\n".join(text_lines(answer)), answer
        if in_html:
            return _page(status, domain, blocks, text)
        body = json.dumps(value, indent=2) + "\n"
        return web.Response(status=status, text=body, content_type="application/json", headers=HEADERS)

    async def _answer(self, asked: Request) -> dict[str, Any]:
        config = self._service.config
        if config is None:
            raise _WrongQuestionError("no rate limit configuration loaded", 503)
        async with self._turn:
            await asyncio.sleep(0)
            try:
                explained = explain(config, asked, self._planner, int(self._clock.now()), self._rules)
            except RpcError as error:
                raise _WrongQuestionError(error.details) from None
            except UnicodeEncodeError:
                raise _WrongQuestionError("the question is not UTF-8") from None
            answer = report(explained, shadow_mode=self._shadow_mode)
        counted = [(index, each) for index, each in enumerate(answer["descriptors"]) if each["verdict"] == "counted"]
        if counted:
            told, why_not = await self._look(asked)
            for index, each in counted:
                each["current"] = _current(told[index] if told else None, why_not, each["limit"])
        return answer

    async def _look(self, asked: Request) -> tuple[Sequence[tuple[int, int] | None], str]:
        """What the service says of each descriptor, or why it says nothing."""
        try:
            async with asyncio.timeout(LOOK_S):
                return told_of(await self._service.ask(look_bytes(asked), counted=True)), ""
        except TimeoutError:
            return (), f"no answer within {LOOK_S:g} s"
        except RpcError as error:
            return (), error.details


def descriptors_of(blocks: Sequence[str]) -> tuple[Descriptor, ...]:
    """Descriptors from texts with an entry a line; see the head of this file."""
    found: list[tuple[tuple[str, str], ...]] = []
    for block in blocks:
        entries: list[tuple[str, str]] = []
        for line in [*block.replace("\r\n", "\n").split("\n"), ""]:
            key, equals, value = line.partition("=")
            if equals:
                entries.append((key, value))
            elif line.strip():
                raise _WrongQuestionError(f"{line}: key=value is wanted, `key=` for an empty value")
            elif entries:
                found.append(tuple(entries))
                entries = []
    if len(found) > DESCRIPTORS_MAX:
        raise _WrongQuestionError(f"{len(found)} descriptors, at most {DESCRIPTORS_MAX} are explained at a time")
    return tuple(map(Descriptor, found))


def _current(told: tuple[int, int] | None, why_not: str, limit: dict[str, Any]) -> dict[str, Any]:
    if told is None:
        return {"told": f"not known: {why_not or 'another configuration is in force meanwhile'}"}
    remaining, reset_s = told
    return current(min(remaining, limit["requests_per_unit"]), reset_s, limit)


def _page(status: int, domain: str, blocks: Sequence[str], text: str) -> web.Response:
    entries = "\n\n".join(block.strip("\r\n") for block in blocks)
    answer = f"<section><h2>Answer</h2>\n<pre>{escape(text)}</pre></section>\n" if text else ""
    body = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Why is it limited?</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><link rel="icon" type="image/svg+xml" href="page.svg">'
        '<link rel="stylesheet" href="page.css"></head><body>\n<header><h1><a href="./">ratelimit</a></h1></header>\n'
        '<main class="narrow"><section><h2>Why is it (not) limited?</h2>\n<form action="explain" method="get">\n'
        f'<label><span>Domain</span><input name="domain" required value="{escape(domain)}"></label>\n'
        "<label><span>Entries: key=value, one a line; an empty line begins the next descriptor</span>"
        f'<textarea name="entries" rows="5" required>\n{escape(entries)}</textarea></label>\n'
        f"<button>Explain</button>\n</form></section>\n{answer}</main></body></html>\n"
    )
    return web.Response(status=status, text=body, content_type="text/html", headers=HEADERS)
