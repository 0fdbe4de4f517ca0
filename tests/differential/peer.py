"""envoyproxy/ratelimit, built from its source: it is never downloaded, and nothing of it stays here."""

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.demo.processes import start
from tests.differential.instance import Instance, until_serving

MODULE = "github.com/envoyproxy/ratelimit"
BUILD_S_MAX = 400


class NoPeerError(Exception):
    """It cannot be built here; says why."""


def source() -> Path:
    """REFERENCE_SOURCE, or its newest version in the module cache. Raises NoPeerError."""
    given = os.environ.get("REFERENCE_SOURCE")
    if given:
        return Path(given)
    go = shutil.which("go")
    if go is None:
        raise NoPeerError("no `go` on the PATH")
    cache = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    place = Path(cache) / MODULE
    versions = sorted(place.parent.glob(f"{place.name}@*"), key=lambda path: path.stat().st_mtime)
    if not versions:
        raise NoPeerError(f"{MODULE} is not in the module cache (`go mod download {MODULE}@latest` puts it there)")
    return versions[-1]


def build(folder: Path) -> Path:
    """Its server: PEER_CMD, or built in `folder`. Raises NoPeerError."""
    given = os.environ.get("PEER_CMD")
    if given:
        return Path(given)
    copy, program = folder / "source", folder / "reference"
    shutil.copytree(source(), copy)
    for path in (copy, *copy.rglob("*")):  # files of the cache may not be written, not even by their owner
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    environ = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    command = ["go", "build", "-o", str(program), "./src/service_cmd"]
    done = subprocess.run(
        command, cwd=copy, env=environ, capture_output=True, text=True, timeout=BUILD_S_MAX, check=False
    )
    shutil.rmtree(copy)
    if done.returncode:
        raise NoPeerError(f"it does not build: {done.stderr.strip()[-500:]}")
    return program


async def start_peer(program: Path, folder: Path, environ: Mapping[str, str]) -> Instance:
    """Start it and wait until it serves; `environ` is all that it gets to see."""
    given = {"USE_STATSD": "false", "LOG_LEVEL": "error", **environ}
    # Nothing of this process's environment may mean anything to it.
    command = ["env", "-i", *(f"{name}={value}" for name, value in given.items()), program]
    process = await start("reference", command, folder)
    return await until_serving(Instance.of(process, given))


async def verdict(program: Path, environ: Mapping[str, str], wait_s: float) -> tuple[bool, str]:
    """Whether it starts with these variables, and its last words if it does not.

    Started is who listens for HTTP and is still there a moment later: the listener for gRPC opens beside it.
    """
    process = await asyncio.create_subprocess_exec(
        program,
        env={**environ, "LOG_LEVEL": environ.get("LOG_LEVEL", "info")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said: list[str] = []
    assert process.stderr is not None
    try:
        async with asyncio.timeout(wait_s):
            async for line in process.stderr:
                said.append(line.decode(errors="replace"))
                if "Listening for HTTP" in said[-1]:
                    break
            await asyncio.wait_for(process.wait(), wait_s / 20)
    except TimeoutError:
        return True, ""
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    return False, "".join(line for line in said if "panic" in line or "level=fatal" in line)[:300]
