"""The dashboards of deploy/grafana: that they can be imported, drawn, and show what is there."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.demo.processes import ROOT
from ratelimit.metrics.declared import DOMAIN_NOT_FOUND, LIMIT, MEMCACHE, RESPONSE_TIME, SHARE, SINGLES
from tests.deploy.monitoring import shown

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "deploy" / "grafana").glob("*.json"))}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
METRIC = re.compile(r"ratelimit_\w+")
# What Grafana puts in for its variables, as Prometheus then reads it.
VARIABLES = {"$__rate_interval": "1m", "$__range": "3h", "$job": ".*", "$instance": ".*", "$domain": ".*"}

every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """Every expression of panels, annotations and variables."""
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r"label_values\((.*), \w+\)", r"\1", variable["query"]["query"])


def metrics(dashboard: dict[str, Any]) -> set[str]:
    """The names in all of them, a histogram's without `_bucket`."""
    return {name.removesuffix("_bucket") for query in queries(dashboard) for name in METRIC.findall(query)}


def test_there_is_one_for_ours_and_one_for_the_reference_s_names() -> None:
    """Told apart by Grafana by their uid, and by people by their title."""
    assert set(DASHBOARDS) == {"ratelimit", "reference"}
    for key in ("uid", "title"):
        assert len({dashboard[key] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@every_dashboard
def test_the_data_source_is_chosen_where_it_is_imported(name: str) -> None:
    """By a variable, which every panel, query and annotation follows; so there is no identity of one Grafana in it."""
    dashboard = DASHBOARDS[name]
    first, *others = dashboard["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    users = [*panels, *others, *dashboard["annotations"]["list"], *(t for panel in panels for t in panel["targets"])]
    assert all(user["datasource"] == SOURCE for user in users)
    assert "id" not in dashboard
    assert "__inputs" not in dashboard


@every_dashboard
def test_panels_do_not_overlap(name: str) -> None:
    """Each has an id of its own, and a place within the columns that no other covers."""
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set[tuple[int, int]]()
    for panel in panels:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        assert columns.stop <= COLUMNS, panel["title"]
        own = set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))
        assert own.isdisjoint(cells), panel["title"]
        cells |= own
    # Nor is there a gap in a row, but at its end.
    assert all(x == 0 or (x - 1, y) in cells for x, y in cells)


@every_dashboard
def test_a_panel_says_what_it_shows(name: str) -> None:
    """A title that no other has, a description, a unit, and queries of different letters."""
    panels = [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(set(letters)) == len(letters)


@every_dashboard
def test_the_variables_of_a_query_exist(name: str) -> None:
    """Every `$name` is one of the dashboard's, or Grafana's own; and every one of the dashboard's is used."""
    dashboard = DASHBOARDS[name]
    used = set(re.findall(r"\$(\w+)", "\n".join(queries(dashboard))))
    own = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {each for each in used if not each.startswith("__")} | {"datasource"} == own
    assert {f"${each}" for each in used} <= set(VARIABLES)


@pytest.mark.tools
@every_dashboard
def test_prometheus_can_read_every_query(promtool: Path, tmp_path: Path, name: str) -> None:
    """With the variables put in, each is a rule that promtool takes."""
    rules = []
    for number, query in enumerate(queries(DASHBOARDS[name])):
        put_in = re.sub(r"\$\w+", lambda found: VARIABLES[found.group()], query)
        rules.append({"record": f"query:{number}", "expr": put_in})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))
    ended = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(rules)} rules found" in ended.stdout


def test_ours_reads_what_we_have(scrape: str) -> None:
    """Every metric is in a real scrape; those of memcached and of divided limits are as they are declared."""
    declared = {stat.prometheus for stat in (*MEMCACHE, *SHARE)}
    assert metrics(DASHBOARDS["ratelimit"]) - shown(scrape) == declared


def test_ours_shows_everything_that_is_declared() -> None:
    """No stat is left out, so a new one comes with its panel."""
    declared = {stat.prometheus for stat in (*SINGLES, *LIMIT, *SHARE, DOMAIN_NOT_FOUND, RESPONSE_TIME)}
    assert metrics(DASHBOARDS["ratelimit"]) == declared


def test_the_reference_s_reads_what_both_have(scrape: str, reference_scrape: str) -> None:
    """Every metric is in a scrape by the reference's mapping, or would be if it were not 0, and in ours too."""
    mapping = yaml.safe_load((ROOT / "deploy" / "reference-mapping.yaml").read_text())["mappings"]
    named = metrics(DASHBOARDS["reference"])
    zero = {rule["name"] for rule in mapping} | {"ratelimit_redis_pool_cx_local_close"}
    assert named - shown(reference_scrape) <= zero
    assert named <= shown(scrape)
    own = {"ratelimit_store", "ratelimit_grpc", "ratelimit_http", "ratelimit_workers", "ratelimit_redis_per_second"}
    assert not [each for each in named if each.startswith(tuple(own))]


def test_alerts_that_a_panel_names_exist() -> None:
    """A description names an alert where its graph is what one looks at."""
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text()
    text = json.dumps(DASHBOARDS)
    named = set(re.findall(r"\bRatelimit[A-Z]\w+", text))
    assert len(named) >= 10
    assert all(f"alert: {name}\n" in alerts for name in named)
