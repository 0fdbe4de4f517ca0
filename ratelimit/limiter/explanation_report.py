"""An explanation as plain values, which JSON takes as they are, and as lines of text made from those values.

`request`: domain, domain_found, now (unix seconds), descriptors, overall (sentences). A descriptor has `entries`
([key, value] each), `levels`, `verdict` (counted, unlimited, replaced, no_limit), `reason` (one sentence), `notes`
(sentences), and where there is one `limit` with its place, `counter`, or `missing` with what is near.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ratelimit.descriptors.explain import CANDIDATES_MAX, Miss, Missing, Walked
from ratelimit.descriptors.limit import Limit
from ratelimit.descriptors.tree import Level, Matched, Node
from ratelimit.limiter.explanation import Explained, Explanation
from ratelimit.limiter.plan import Charge, Verdict

_VERDICTS = {Verdict.NO_LIMIT: "no_limit", Verdict.UNLIMITED: "unlimited", Verdict.REPLACED: "replaced"}
_TOOK = {Matched.EXACT: "exactly", Matched.PATTERN: "by the pattern", Matched.KEY: "by the bare key"}


def report(explained: Explanation, *, shadow_mode: bool = False) -> dict[str, Any]:
    """The whole answer; `shadow_mode` is the global one."""
    return {
        "domain": explained.request.domain,
        "domain_found": explained.root is not None,
        "now": explained.now,
        "descriptors": [_descriptor(each, explained) for each in explained.descriptors],
        "overall": list(_overall(explained, shadow_mode=shadow_mode)),
    }


def text_lines(value: dict[str, Any]) -> Iterator[str]:
    """The answer for a terminal: what cannot be printed is escaped."""
    yield f"domain {legible(value['domain'])}, at {_moment(value['now'])}"
    for number, each in enumerate(value["descriptors"], 1):
        entries = ", ".join(f"{key}={text}" for key, text in each["entries"])
        yield f"descriptor {number}: {legible(entries) or '(no entries)'}"
        for level in each["levels"]:
            yield f"  {level['depth']}. {legible(level['told'])}"
        yield f"  => {legible(each['reason'])}"
        if "counter" in each:
            counter = each["counter"]
            yield f"  counter: {legible(counter['key'])}"
            yield f"  window: {counter['window_s']} s from {_moment(counter['window_start'])}, {counter['told']}"
        if "current" in each:
            yield f"  now: {legible(each['current']['told'])}"
        for note in each["notes"]:
            yield f"  - {legible(note)}"
    for sentence in value["overall"]:
        yield f"overall: {legible(sentence)}"


def current(remaining: int, reset_s: int, limit: dict[str, Any]) -> dict[str, Any]:
    """What is used of a limit, as the report has it: `used` is what is known, `at_least` that it may be more."""
    most = limit["requests_per_unit"]
    used = f"{'' if remaining else 'at least '}{most - remaining} of {most} used, resets in {reset_s} s"
    denied = "the next hit would be over, and shadow mode lets it pass" if limit["shadow_mode"] else "the next is over"
    return {
        "remaining": remaining,
        "resets_in_s": reset_s,
        "used": most - remaining,
        "at_least": remaining == 0,
        "told": used if remaining else f"{used}: {denied}",
    }


def legible(text: str) -> str:
    """`text` with everything escaped that a terminal cannot show, or would act upon."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _descriptor(each: Explained, whole: Explanation) -> dict[str, Any]:
    walked, step = each.walked, each.step
    found: dict[str, Any] = {
        "entries": [list(entry) for entry in walked.descriptor.entries],
        "levels": [_level(depth, level) for depth, level in enumerate(walked.levels, 1)],
        "verdict": "counted" if isinstance(step, Charge) else _VERDICTS[step],
        "reason": "",
        "notes": [],
    }
    if walked.miss is not None:
        found["missing"] = _missing(walked.miss)
        found["reason"] = f"not limited: {_why(walked, walked.miss, whole.request.domain)}"
        found["notes"] = list(_hints(walked, walked.miss))
        return found
    assert walked.match is not None  # noqa: S101 - a walk has a match or a miss
    limit = step.limit if isinstance(step, Charge) else walked.match.limit
    found["limit"] = {**_limit(limit), **_place(walked.node)}
    where = "the request's own limit (an override)" if walked.node is None else _at(walked.node)
    found["reason"] = f"{_limit_text(limit)}, {where}"
    found["notes"] = list(_notes(each, limit))
    if isinstance(step, Charge):
        found["counter"] = _counter(step, whole.now)
    return found


def _level(depth: int, level: Level) -> dict[str, Any]:
    entry = f"{level.key}={level.value}"
    found = {"depth": depth, "key": level.key, "value": level.value, "matched": level.matched.value}
    if level.node is None:
        return {**found, "told": f"{entry}: nothing here takes it"}
    name = level.node.composite
    told = f"{entry}: taken {_TOOK[level.matched]} {name}, {_at(level.node)}"
    return {**found, "node": name, **_place(level.node), "told": told}


def _place(node: Node | None) -> dict[str, Any]:
    return {} if node is None else {"file": node.file, "line": node.line, "key_path": node.key_path}


def _at(node: Node) -> str:
    return node.file if node.line is None else f"{node.file}:{node.line}"


def _limit(limit: Limit) -> dict[str, Any]:
    if limit.unlimited:
        return {"unlimited": True, "name": limit.name, "replaces": sorted(limit.replaces)}
    return {
        "requests_per_unit": limit.requests_per_unit,
        "unit": limit.unit.name,
        "unit_multiplier": limit.unit_multiplier,
        "calendar": limit.calendar,
        "algorithm": limit.algorithm,
        "name": limit.name,
        "replaces": sorted(limit.replaces),
        "shadow_mode": limit.shadow_mode,
        "quota_mode": limit.quota_mode,
    }


def _limit_text(limit: Limit) -> str:
    if limit.unlimited:
        return "unlimited"
    named = f" named {limit.name}" if limit.name else ""
    calendar = " of the calendar" if limit.calendar else ""
    return f"{limit.requests_per_unit} per {limit.period}{calendar} ({limit.algorithm}){named}"


def _counter(charge: Charge, now: int) -> dict[str, Any]:
    key = charge.key
    ends = f"ends in {key.reset_s(now)} s"
    return {
        "key": key.name.decode(),
        "window_start": key.window_start,
        "window_s": key.window_s,
        "told": ends if charge.limit.algorithm == "fixed_window" else "though the algorithm looks back, not at windows",
    }


def _missing(miss: Miss) -> dict[str, Any]:
    return {
        "reason": miss.reason.value,
        "near": list(miss.near),
        "following": list(miss.following),
        "misplaced": list(miss.misplaced),
    }


def _why(walked: Walked, miss: Miss, domain: str) -> str:
    entries, depth = len(walked.descriptor.entries), len(walked.levels)
    last = walked.levels[-1] if walked.levels else None
    match miss.reason:
        case Missing.DOMAIN:
            return f"no file configures the domain {domain}"
        case Missing.ENTRIES:
            return "the descriptor has no entries"
        case Missing.TOO_DEEP:
            above = "" if last is None else f"; nothing stands below {last.parent.composite}, {_at(last.parent)}"
            return f"too deep: {entries} entries, and the tree ends after {depth - 1}{above}"
        case Missing.LEVEL:
            entry = "" if last is None else f"{last.key}={last.value}"
            return f"nothing matches {entry} at level {depth}"
    node = "" if last is None or last.node is None else f"{last.node.composite}, {_at(last.node)},"
    if miss.reason is Missing.TOO_SHALLOW:
        return f"too shallow: {node} has no rate_limit, only descriptors below it"
    return f"{node} has no rate_limit"


def _hints(walked: Walked, miss: Miss) -> Iterator[str]:
    if miss.near:
        yield f"near: {', '.join(miss.near)}"
    if not miss.looked_at_all:
        yield f"only the first {CANDIDATES_MAX} were compared"
    if miss.following:
        yield f"configured at this place: {', '.join(miss.following)}"
    for index in miss.misplaced:
        key, value = walked.descriptor.entries[index]
        yield f"{key}={value} (entry {index + 1}) would match here: the order of entries counts"
    last = walked.levels[-1] if walked.levels else None
    if miss.reason is Missing.TOO_DEEP and last is not None and last.parent.limit is not None:
        limit = f"{_limit_text(last.parent.limit)}, {_at(last.parent)}"
        yield f"without the entries from {last.key}={last.value} on: {limit}"
    for level in walked.levels:
        if level.node is not None and (other := _passed_over(level)) is not None:
            place = f"{other.composite}, {_at(other)}, would have taken {level.key}={level.value}"
            yield f"{place}, but {level.node.composite} goes first, and a level that matched is not left again"


def _passed_over(level: Level) -> Node | None:
    """Another node that would have taken the entry, had the one that did not gone first."""
    pattern = level.parent.first_pattern(f"{level.key}_{level.value}")
    for other in (pattern, level.parent.children.get(level.key)):
        if other is not None and other is not level.node:
            return other
    return None


def _notes(each: Explained, limit: Limit) -> Iterator[str]:
    if each.step is Verdict.REPLACED:
        by = ", ".join(str(index + 1) for index in each.replaced_by)
        yield f"replaced: the limit of descriptor {by} replaces {limit.name}, so this one is neither charged nor asked"
    if each.step is Verdict.UNLIMITED:
        yield "unlimited: answered OK, never counted, the store is not asked"
    if limit.replaces:
        yield f"replaces {', '.join(sorted(limit.replaces))} where the same request reaches it"
    if limit.shadow_mode:
        yield "shadow mode: counted, and never denied"
    if limit.quota_mode:
        yield "quota mode: denies only where all limits in quota mode of the request are over"
    for level in each.walked.levels:
        if level.node is not None and level.node.share_threshold and level.matched is Matched.PATTERN:
            yield f"share_threshold: all values that match {level.node.composite} share one counter"


def _overall(explained: Explanation, *, shadow_mode: bool) -> Iterator[str]:
    plan = explained.plan
    charges = plan.charges
    quotas = [charge for charge in charges if charge.limit.quota_mode or plan.rules.quota_mode]
    if not charges:
        yield "OK: nothing is counted"
        return
    if plan.rules.quota_mode:
        yield "QUOTA_MODE: OVER_LIMIT only if every descriptor is over; one without a limit counts as one that is not"
    elif quotas:
        yield "OVER_LIMIT if a limit outside quota mode is over, or if all limits in quota mode are"
    else:
        yield "OVER_LIMIT if any of the limits is over"
    if plan.together > 0:
        yield "all_or_nothing: where one would go over, nothing is charged"
    elif plan.together < 0:
        yield "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT: where one is over, the others are not charged"
    if shadow_mode:
        yield "SHADOW_MODE: the overall code is OK whatever comes out"


def _moment(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
