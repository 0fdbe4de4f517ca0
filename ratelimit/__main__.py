"""The command `ratelimit`: serve, or one of the commands that look at a configuration or the settings and end."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path

import structlog

from ratelimit.errors import RateLimitError, SettingsError
from ratelimit.lint.rules import RULES
from ratelimit.logs import configure_logs
from ratelimit.open_files import raise_open_files
from ratelimit.settings import Settings, load_settings, quieten_grpc

EXIT_FAILED = 1
PACKAGE = "envoy-ratelimit"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    options = _parser().parse_args(arguments)
    if options.version:
        sys.stdout.write(f"ratelimit {version()}\n")
        return 0
    if options.command == "settings":
        from ratelimit.settings.report import tell_settings  # noqa: PLC0415 - each command imports what it needs

        return tell_settings(sys.stdout, as_json=options.format == "json")
    if options.command == "migrate-check":
        from ratelimit.migration.check import migrate_check  # noqa: PLC0415 - likewise

        return migrate_check(options.environment, options.config, sys.stdout)
    try:
        settings = load_settings()
    except SettingsError as error:
        for name, reason in error.problems:
            sys.stderr.write(f"ratelimit: {name}: {reason}\n")
        return EXIT_FAILED
    return serve(settings) if options.command is None else _look(options, settings)


def version() -> str:
    """The version of the installed package."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def serve(settings: Settings) -> int:
    """Serve until a signal: 0, or 1 when the start fails."""
    quieten_grpc()
    import uvloop  # noqa: PLC0415

    from ratelimit.app import make_app  # noqa: PLC0415

    configure_logs(settings.log)
    log = structlog.get_logger("ratelimit")
    for warning in settings.warnings:
        log.warning(warning)
    before, now = raise_open_files()
    log.info("open files", limit=now, before=before)

    async def run() -> None:
        await make_app(settings).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except (OSError, RateLimitError, ValueError) as error:
        sys.stderr.write(f"ratelimit: cannot serve: {error}\n")
        return EXIT_FAILED
    return 0


def _look(options: argparse.Namespace, settings: Settings) -> int:
    """Run a command that reads a configuration; each imports what it needs."""
    if options.command == "check":
        from ratelimit.check import Checking, check  # noqa: PLC0415

        checking = Checking(
            options.paths,
            envoy=options.envoy,
            shape=options.format,
            fail_on=options.fail_on,
            ignored=frozenset(options.ignore),
            version=version(),
        )
        return check(checking, settings.config, sys.stdout)
    if options.command == "simulate":
        from ratelimit.simulation import command  # noqa: PLC0415

        given = {field.name: getattr(options, field.name) for field in fields(command.Question)}
        return command.simulate(command.Question(**given), settings, sys.stdout)
    from ratelimit.explain import Question, tell_why  # noqa: PLC0415

    question = Question(
        options.directory,
        options.domain,
        options.words,
        now=options.now,
        prefix=options.prefix,
        key_format=options.key_format,
        as_json=options.format == "json",
        bucket=options.bucket,
    )
    return tell_why(question, settings, sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ratelimit",
        description="A global rate limit service for Envoy. Without a command it serves; settings come from the "
        "environment, as for envoyproxy/ratelimit (docs/configuration.md).",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_check(commands.add_parser("check", help="tell whether a configuration loads, and what is hardly meant"))
    _add_explain(commands.add_parser("explain", help="tell why a request is limited, or is not"))
    _add_simulate(commands.add_parser("simulate", help="replay an access log: what would have been denied"))
    telling = commands.add_parser("settings", help="print the settings in force, without secrets")
    telling.add_argument("--format", choices=("text", "json"), default="text")
    moving = commands.add_parser("migrate-check", help="tell what differs for a deployment of envoyproxy/ratelimit")
    moving.add_argument("environment", type=Path, metavar="FILE", help="NAME=value lines, or Kubernetes YAML")
    moving.add_argument("--config", type=Path, metavar="DIR", help="its configuration directory")
    return parser


def _add_check(checking: argparse.ArgumentParser) -> None:
    checking.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="directories and files, together one configuration"
    )
    checking.add_argument(
        "--envoy",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a file or directory of Envoy, Istio, Envoy Gateway or Kubernetes to check together with it; may repeat",
    )
    checking.add_argument("--format", choices=("text", "json", "sarif", "github"), default="text")
    checking.add_argument(
        "--fail-on", choices=("error", "warning"), default="error", help="from which level on the exit code is 1"
    )
    checking.add_argument(
        "--ignore", action="append", default=[], choices=RULES, metavar="RULE", help="leave out a rule of docs/lint.md"
    )


def _add_explain(asking: argparse.ArgumentParser) -> None:
    asking.add_argument("directory", type=Path, metavar="DIR", help="the configuration directory")
    asking.add_argument("domain", metavar="DOMAIN")
    asking.add_argument("words", nargs="+", metavar="k=v", help="entries in their order; `and` between descriptors")
    asking.add_argument("--bucket", action="store_true", help="the entries are a bucket id (rate limit quota service)")
    asking.add_argument("--prefix", help="in place of CACHE_KEY_PREFIX")
    asking.add_argument("--key-format", choices=("exact", "reference"), help="in place of COUNTER_KEY_FORMAT")
    asking.add_argument("--now", type=int, metavar="SECONDS", help="the unix second to explain, instead of this one")
    asking.add_argument("--format", choices=("text", "json"), default="text")


def _add_simulate(asking: argparse.ArgumentParser) -> None:
    asking.add_argument("directory", type=Path, metavar="DIR", help="the configuration directory")
    asking.add_argument("log", metavar="LOG", help="JSON or CSV lines, packed by gzip or not; `-` for standard input")
    asking.add_argument("--domain", help="the domain of the requests; %%field%% for one of the log")
    asking.add_argument(
        "--descriptor",
        dest="descriptors",
        action="append",
        default=[],
        metavar="k=v",
        help="what a line asks, such as 'user=%%user%%,path=%%request.path%%'; once for each descriptor",
    )
    asking.add_argument("--time", metavar="FIELD", help="when a request came (start_time, or the column time)")
    asking.add_argument("--hits", metavar="FIELD", help="what a request costs; 1 without")
    asking.add_argument("--against", type=Path, metavar="DIR", help="another configuration, to compare with")
    asking.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as SVG")
    asking.add_argument("--reorder", type=float, default=30.0, metavar="SECONDS", help="how late a line may come (30)")
    asking.add_argument("--top", type=int, default=20, metavar="N", help="how many limits are shown (20)")
    asking.add_argument("--strict", action="store_true", help="end at the first broken line")
    asking.add_argument("--format", choices=("text", "json"), default="text")


if __name__ == "__main__":
    sys.exit(main())
