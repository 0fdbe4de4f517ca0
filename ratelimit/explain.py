"""`ratelimit explain DIR DOMAIN k=v [k=v…] [and k=v…]`: why such a request is limited, or is not."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ratelimit.check import read_config
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError, RpcError
from ratelimit.limiter.explanation import explain
from ratelimit.limiter.explanation_report import legible, report, text_lines
from ratelimit.metrics import LimitStats
from ratelimit.service.planning import decision_rules, make_planner
from ratelimit.service.rlqs.view import order_of, told_of_limit
from ratelimit.settings import Settings

AND = "and"
_UNMATCHED = ("as a bucket: in no order do all entries reach a limit; RLQS_UNKNOWN_BUCKET says what it is told",)
# The last second that people write dates of.
NOW_MAX = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `words` are k=v, with AND between descriptors. None: now, or as the settings say."""

    directory: Path
    domain: str
    words: Sequence[str]
    now: int | None = None
    prefix: str | None = None
    key_format: str | None = None
    as_json: bool = False
    bucket: bool = False


def tell_why(question: Question, settings: Settings, out: TextIO) -> int:
    """Write the explanation; 0, or 1 and what is wrong with the configuration or the question."""
    changed = {"cache_key_prefix": question.prefix, "counter_key_format": question.key_format}
    given = {name: value for name, value in changed.items() if value is not None}
    settings = settings.model_copy(update={"limiter": settings.limiter.model_copy(update=given)})
    planner = make_planner(settings, lambda *_: LimitStats())
    now = int(time.time()) if question.now is None else question.now
    if not 0 <= now <= NOW_MAX:
        return _refuse(f"--now: {now} is not a unix second up to the year 9999", out)
    try:
        descriptors = descriptors_of(question.words)
        config = read_config(question.directory, settings.config)
        if question.bucket:
            descriptors = (bucket_of(config, question.domain, descriptors),)
        request = Request(question.domain, descriptors)
        answer = report(
            explain(config, request, planner, now, decision_rules(settings)), shadow_mode=settings.response.shadow_mode
        )
    except ConfigError as error:
        return _refuse(str(error), out)
    except RpcError as error:
        return _refuse(error.details, out)
    except UnicodeEncodeError:
        return _refuse("the question is not UTF-8", out)
    except ValueError as error:
        return _refuse(str(error), out)
    if question.bucket:
        match = config.match(question.domain, request.descriptors[0])
        told = told_of_limit(match.limit) if match is not None else _UNMATCHED
        answer["descriptors"][0]["notes"] += told
    text = json.dumps(answer, indent=2) if question.as_json else "\n".join(text_lines(answer))
    out.write(f"{text}\n")
    return 0


def descriptors_of(words: Sequence[str]) -> tuple[Descriptor, ...]:
    """Descriptors from k=v words with AND between them. Raises ValueError for a word that is none."""
    found: list[list[tuple[str, str]]] = [[]]
    for word in words:
        if word == AND:
            found.append([])
            continue
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word}: key=value is wanted, `key=` for an empty value")
        found[-1].append((key, value))
    if not all(found):
        raise ValueError(f"`{AND}` stands between descriptors, and each has an entry")
    return tuple(Descriptor(tuple(entries)) for entries in found)


def bucket_of(config: Config, domain: str, descriptors: Sequence[Descriptor]) -> Descriptor:
    """A bucket id as a descriptor, its entries in the order of the tree. Raises ValueError where it is none."""
    entries = [entry for descriptor in descriptors for entry in descriptor.entries]
    if len(descriptors) > 1 or len(dict(entries)) < len(entries):
        raise ValueError("a bucket id has each key once, and stands alone")
    return Descriptor(order_of(config, domain, dict(entries)))


def _refuse(reason: str, out: TextIO) -> int:
    out.write(f"{legible(reason)}\n")
    return 1
