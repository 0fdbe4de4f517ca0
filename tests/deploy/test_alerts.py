import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from deploy.demo.processes import LOOPBACK, ROOT, config_map, free_port, start_service, start_valkey
from loadtest.request_frames import CONFIG

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.fixture(scope="module")
def runbook() -> str:
    """What operators read."""
    return (ROOT / "docs" / "operating.md").read_text()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_its_paragraph(rule: dict[str, Any], runbook: str) -> None:
    """By its name, at the start of a line; and the alert says what is wrong, and how much that matters."""
    assert f"\n**{rule['alert']}.** " in runbook
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_every_paragraph_has_its_alert(runbook: str) -> None:
    """None is left of one that is gone."""
    assert re.findall(r"^\*\*(Ratelimit\w+)\.\*\*", runbook, re.MULTILINE) == [rule["alert"] for rule in RULES]


async def test_what_alerts_read_is_there(tmp_path: Path, runbook: str) -> None:
    """Every metric and label of an expression, and every one that a paragraph names, is in a real scrape."""
    program, port = await start_valkey(tmp_path)
    prometheus = free_port()
    environ = {
        "RUNTIME_ROOT": str(config_map(tmp_path, CONFIG)),
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"{LOOPBACK}:{port}",
        "REDIS_PERSECOND": "true",
        "REDIS_PERSECOND_SOCKET_TYPE": "tcp",
        "REDIS_PERSECOND_URL": f"{LOOPBACK}:{port}",
        "USE_PROMETHEUS": "true",
        "PROMETHEUS_ADDR": f"{LOOPBACK}:{prometheus}",
        "WORKERS": "2",
        "DRAIN_DELAY": "0",
    }
    instance = await start_service("service", tmp_path, environ)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{LOOPBACK}:{prometheus}/metrics") as page,
    ):
        scrape = await page.text()
    shown = set(re.findall(r"^# HELP (\w+)", scrape, re.MULTILINE))
    shown |= {f"{name}_bucket" for name in shown}
    expressions = "\n".join(rule["expr"] for rule in RULES)
    paragraphs = runbook[runbook.index("## Alerts") :]
    named = set(re.findall(r"ratelimit_\w+", f"{expressions}\n{paragraphs}"))
    # This one has a sample from the first such call on.
    assert named - shown == {"ratelimit_service_rate_limit_domain_not_found"} - shown
    for label in re.findall(r"\{(\w+=\"\w+\")\}", expressions):
        assert label in scrape
    await instance.program.stop()
    await program.stop()
