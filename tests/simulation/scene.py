"""Configurations and logs for the tests of a replay."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from loadtest.access_log import printed
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.descriptors.tree import Config
from ratelimit.settings import Settings, load_settings
from ratelimit.simulation.planned import Planned
from ratelimit.simulation.replay import Replay

CATALOG = Path(__file__).parents[2] / "config"
START_MS = 1_767_225_600_000
LOYALTY = "header_match=%x-loyalty%_request|no_loyalty"


def config(*limits: str, top: str = "") -> Config:
    """A domain `d` with these descriptors, each a YAML mapping on one line, and `top` beside them."""
    descriptors = "".join(f"  - {{{each}}}\n" for each in limits)
    return load_config([ConfigFile("d.yaml", f"domain: d\n{top}\ndescriptors:\n{descriptors}".encode())])


def rate(count: int, unit: str = "minute", more: str = "") -> str:
    """A rate_limit on one line."""
    return f"rate_limit: {{unit: {unit}, requests_per_unit: {count}{more}}}"


def settings(**environ: str) -> Settings:
    """Settings of this environment."""
    return load_settings(environ)


def replay(*limits: str, top: str = "", **environ: str) -> Replay:
    """A replay of that configuration."""
    return Replay(config(*limits, top=top), settings(**environ))


def plan(replayed: Replay, *descriptors: str, hits: int = 1) -> tuple[Planned]:
    """The plan of a request, each descriptor as `k=v,k=v`."""
    made = []
    for each in descriptors:
        pairs = [entry.partition("=") for entry in each.split(",")]
        entries = tuple((key, value) for key, _, value in pairs)
        made.append(Descriptor(entries, None, abs(hits), hits < 0))
    return (replayed.plan(Request("d", tuple(made))),)


def time(ms: int) -> str:
    """START_MS and so many milliseconds later, as Envoy prints it."""
    return printed(START_MS + ms)


def json_log(path: Path, lines: Iterable[tuple[int, dict[str, Any]] | str]) -> Path:
    """A log of such moments and fields, or of lines as they are."""
    texts = [
        each if isinstance(each, str) else json.dumps({"start_time": time(each[0]), "method": "GET", **each[1]})
        for each in lines
    ]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path
