"""Generate ratelimit/pb from the .proto files beside this script: `make protos`.

grpcio-tools brings protoc and the Python plugins, so neither Node nor buf is needed; with `buf` on PATH the files are
linted first. The modules live under ratelimit.pb, while the file names in the descriptor pool stay upstream's, which
is what reflection shows.
"""

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


def generate(target: Path) -> None:
    """Write the stubs of every .proto file below PROTOS into `target`. Raises CalledProcessError."""
    files = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    options = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *options, *files], check=True)
    for stub in target.rglob("*_grpc.py"):
        if "class " not in stub.read_text():
            stub.unlink()  # the file declares no service
    for stub in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        stub.write_text(OURS.sub(r"\1 ratelimit.pb.\2", stub.read_text()))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text(PACKAGE)


def main() -> None:
    """Lint where buf is there, then replace ratelimit/pb whole."""
    if shutil.which("buf"):
        subprocess.run(["buf", "lint", str(PROTOS)], check=True)
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(folder, TARGET)
    print(f"protos: {len(list(TARGET.rglob('*_pb2.py')))} files generated")


if __name__ == "__main__":
    main()
