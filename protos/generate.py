"""Generate ratelimit/pb from the .proto files beside this script: `make protos`.

buf lints and generates (buf.yaml, buf.gen.yaml). What is left to do here is Python's: the modules live under
ratelimit.pb, so their imports of each other are rewritten and every folder becomes a package. The file names in the
descriptor pool stay upstream's; reflection shows those.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).parent
TARGET = PROTOS.parent / "ratelimit" / "pb"
OURS = re.compile(r"^(from|import) (envoy|google\.rpc|ratelimit\.config)\b", re.MULTILINE)
PACKAGE = '"""Generated from protos/ by `make protos`; not to be edited."""\n'


def buf(*arguments: str | Path) -> None:
    """Run buf on protos/ with the programs of this virtual environment first. Raises CalledProcessError."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    program = shutil.which("buf", path=path)
    if program is None:
        raise FileNotFoundError("buf is not there: `make setup` installs it")
    subprocess.run([program, *arguments], cwd=PROTOS, env={**os.environ, "PATH": path}, check=True)


def generate(target: Path) -> None:
    """Write the stubs of every .proto file below PROTOS into `target`. Raises CalledProcessError."""
    buf("generate", "--output", target)
    for stub in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        stub.write_text(OURS.sub(r"\1 ratelimit.pb.\2", stub.read_text()))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text(PACKAGE)


def main() -> None:
    """Lint, then replace ratelimit/pb whole."""
    buf("lint")
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(folder, TARGET)
    print(f"protos: {len(list(TARGET.rglob('*_pb2.py')))} files generated")


if __name__ == "__main__":
    main()
