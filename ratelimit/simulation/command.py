"""`ratelimit simulate DIR LOG`: what a configuration would have denied of the requests in an access log."""

import gc
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ratelimit.check import read_config
from ratelimit.errors import ConfigError, LogError
from ratelimit.limiter.explanation_report import legible
from ratelimit.settings import Settings
from ratelimit.simulation.bars import FULL
from ratelimit.simulation.comparison import Changes, comparison_lines, comparison_report
from ratelimit.simulation.csv_log import CsvLog
from ratelimit.simulation.json_log import JsonLog
from ratelimit.simulation.log_bytes import blocks, is_json, opened
from ratelimit.simulation.order import InOrder
from ratelimit.simulation.panels import drawn
from ratelimit.simulation.replay import Replay, Row
from ratelimit.simulation.report import log_report, replay_report
from ratelimit.simulation.report_text import log_lines, replay_lines
from ratelimit.simulation.rows import Lines, Memo, Rows
from ratelimit.simulation.template import Template, path_of

JSON_TIME, CSV_TIME = "start_time", "time"
REORDER_S_MAX = 86_400
GC_THRESHOLDS = (100_000, 50, 100)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, as the options of the command have it; `reorder` in seconds. `top` limits are shown."""

    directory: Path
    log: str
    domain: str | None = None
    descriptors: Sequence[str] = ()
    time: str | None = None
    hits: str | None = None
    against: Path | None = None
    plot: Path | None = None
    reorder: float = 30.0
    top: int = 20
    strict: bool = False
    format: str = "text"


class Simulation:
    """One log and the configurations that it is replayed under, one or two."""

    def __init__(self, question: Question, settings: Settings) -> None:
        """Raises ConfigError, and LogError for options that are none."""
        self._question = question
        if not 0 <= question.reorder <= REORDER_S_MAX:
            raise LogError(f"--reorder {question.reorder}: 0 to {REORDER_S_MAX} seconds are meant")
        if question.top < 1:
            raise LogError(f"--top {question.top}: at least one limit is meant")
        directories = [question.directory, *([question.against] if question.against else [])]
        configs = [read_config(directory, settings.config) for directory in directories]
        self.replays = [Replay(config, settings, index) for index, config in enumerate(configs)]
        self.lines = Lines(strict=question.strict)
        self.order = InOrder(int(question.reorder * 1_000))
        self.changes = Changes()
        self._template: Template | None = None
        if question.descriptors:
            if question.domain is None:
                raise LogError("--domain is wanted: the domain of the requests")
            self._template = Template(question.domain, question.descriptors, question.hits)

    def run(self) -> None:
        """Replay the log. Raises LogError."""
        with opened(self._question.log) as file:
            for rows in self._rows(file):
                self._count(self.order.add(rows))
        self._count(self.order.rest())
        for replay in self.replays:
            replay.finish()
        if self.order.first_ms is None:
            reason = "".join(f", line {number}: {text}" for number, text in self.lines.named[:1])
            raise LogError(f"none of its {self.lines.read} lines asks anything{reason}")

    def report(self) -> dict[str, Any]:
        """What it came to."""
        log = log_report(self._question.log, self.lines, self.order)
        if len(self.replays) == 1:
            return {**log, **replay_report(self.replays[0])}
        return {**log, **comparison_report(self.replays[0], self.replays[1], self.changes)}

    def _count(self, rows: Sequence[Row]) -> None:
        if len(self.replays) == 1:
            self.replays[0].run(rows)
        else:
            self.changes.run(self.replays, rows)

    def _rows(self, file: io.BufferedReader) -> Iterator[list[Row]]:
        question, template = self._question, self._template
        plans = [replay.plan for replay in self.replays]
        if is_json(file):
            if template is None:
                raise LogError("--domain and --descriptor are wanted: what a line of JSON asks")
            time = path_of(question.time or JSON_TIME, "--time")
            memo = Memo(template, plans, alone=len(template.fields) == 1)
            return JsonLog(time, template.fields).rows(blocks(file), Rows(memo, self.lines))
        log = CsvLog(file)
        recipe = log.recipe(question.time or CSV_TIME, template, question.domain, question.hits)
        return log.rows(Rows(Memo(recipe, plans, alone=log.alone), self.lines))


def simulate(question: Question, settings: Settings, out: TextIO) -> int:
    """Write what the log comes to; 0, or 1 and what is wrong with the configuration, the log or the question."""
    try:
        simulation = Simulation(question, settings)
    except (ConfigError, LogError) as error:
        return _refuse(str(error), out)
    try:
        with _little_collecting():
            simulation.run()
    except LogError as error:
        return _refuse(f"{question.log}: {error}", out)
    report = simulation.report()
    if question.plot is not None:
        try:
            question.plot.write_text(drawn(report), encoding="utf-8")
        except OSError as error:
            return _refuse(f"--plot {question.plot}: cannot be written: {error.strerror or error}", out)
    if question.format == "json":
        out.write(f"{json.dumps(report, indent=2)}\n")
        return 0
    encoding = out.encoding or "utf-8"
    lines = comparison_lines if question.against else replay_lines
    told = [*log_lines(report), *lines(report, question.top, ascii_only=not _has_blocks(encoding))]
    out.writelines(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding) for line in told)
    return 0


@contextmanager
def _little_collecting() -> Iterator[None]:
    """The garbage collector looks at rows again and again, and they have no cycles: a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _has_blocks(encoding: str) -> bool:
    try:
        FULL.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _refuse(reason: str, out: TextIO) -> int:
    out.write(f"{legible(reason)}\n")
    return 1
