"""`ratelimit check PATH…`: whether the service would load this configuration, and what in it is hardly meant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.descriptors.yaml_reader import YamlFile
from ratelimit.errors import ConfigError
from ratelimit.lint.comments import without_excused
from ratelimit.lint.configuration import configuration_findings
from ratelimit.lint.finding import Finding, of_error
from ratelimit.lint.formats import as_json, as_sarif, counted, github_lines, text_lines
from ratelimit.lint.resources import SUFFIXES, MeshFile, folder_below
from ratelimit.lint.rules import Level
from ratelimit.lint.together import together_findings
from ratelimit.lint.tree_rules import below
from ratelimit.settings import ConfigSettings
from ratelimit.sources.directory import load_limits
from ratelimit.sources.files import legible, read_directory, read_file


@dataclass(frozen=True, slots=True)
class Checking:
    """What is checked, and how it is told.

    All of `paths`, directories or files, are one configuration; `envoy` are files and directories of Envoy and the
    mesh. `fail_on` is error or warning; findings of the rules `ignored` are left out.
    """

    paths: Sequence[Path]
    envoy: Sequence[Path] = ()
    shape: str = "text"
    fail_on: str = "error"
    ignored: frozenset[str] = frozenset()
    version: str = ""


@dataclass(slots=True)
class _Read:
    """The files, as they are and as they were read, and for the names of findings where they are."""

    files: list[ConfigFile] = field(default_factory=list)
    loaded: list[YamlFile] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)


def check(checking: Checking, settings: ConfigSettings, out: TextIO) -> int:
    """Write what is found; 0, or 1 where the configuration does not load or something else is as bad as `fail_on`."""
    read, config = _Read(), None
    try:
        config = _read(checking.paths, settings, read)
    except ConfigError as error:
        found = [of_error(error)]
    else:
        found = configuration_findings(read.loaded, config)
    mesh = list(_mesh_files(checking.envoy, settings, found))
    if checking.envoy:
        found += together_findings(mesh, config)
    texts = [(file.name, file.text) for file in read.files] + [(file.name, file.text) for file in mesh]
    found = [finding for finding in without_excused(found, texts) if finding.rule not in checking.ignored]
    out.write(_told(checking, found, config, read.places))
    numbers = counted(found)
    return int(numbers[Level.ERROR] > 0 or (checking.fail_on == "warning" and numbers[Level.WARNING] > 0))


def read_config(directory: Path, settings: ConfigSettings) -> Config:
    """The configuration in `directory`, dot files aside. Raises ConfigError, also where there is no file."""
    return _read([directory], settings, _Read())


def _read(paths: Sequence[Path], settings: ConfigSettings, read: _Read) -> Config:
    """Read and load; what was read stands in `read`, also where it does not load. Raises ConfigError."""
    limits = load_limits(settings)
    for path in paths:
        for found, file in _files(path, limits.file_bytes_max):
            # As the service logs it, where there is one directory.
            name = file.name if len(paths) == 1 else legible(found)
            read.files.append(ConfigFile(name, file.text))
            read.places[name] = legible(found)
    strict, merge_domains = settings.config_strict, settings.merge_domain_config
    config = load_config(read.files, strict=strict, merge_domains=merge_domains, limits=limits, read=read.loaded)
    if not read.files:
        raise ConfigError("no file there", file=legible(paths[0]))
    return config


def _files(path: Path, file_bytes_max: int) -> list[tuple[Path, ConfigFile]]:
    """The file that is named, or all of the directory, each with where it is. Raises ConfigError."""
    if path.is_file():
        return [(path, read_file(path, file_bytes_max=file_bytes_max))]
    files = read_directory(path, ignore_dot_files=True, file_bytes_max=file_bytes_max)
    return [(path / file.name, file) for file in files]


def _mesh_files(paths: Sequence[Path], settings: ConfigSettings, found: list[Finding]) -> Iterator[MeshFile]:
    """The YAML and JSON files of Envoy and the mesh; what cannot be read goes to `found`."""
    file_bytes_max = load_limits(settings).file_bytes_max
    for path in paths:
        try:
            for place, file in _files(path, file_bytes_max):
                if place == path:
                    yield MeshFile(file.name, file.text)
                elif place.suffix in SUFFIXES:
                    yield MeshFile(legible(place), file.text, legible(folder_below(place, path)))
        except ConfigError as error:
            found.append(of_error(error, "not-readable"))


def _told(checking: Checking, found: list[Finding], config: Config | None, places: Mapping[str, str]) -> str:
    if checking.shape == "json":
        return as_json(found, places) + "\n"
    if checking.shape == "sarif":
        return as_sarif(found, places, checking.version) + "\n"
    lines = github_lines(found, places) if checking.shape == "github" else text_lines(found)
    domains = _domains(config) if config is not None and checking.shape == "text" else ()
    return "".join(f"{line}\n" for line in (*lines, *domains))


def _domains(config: Config) -> Iterator[str]:
    for domain, root in config.domains.items():
        yield f"{legible(domain)}: {sum(node.limit is not None for node in below(root))} limits"
