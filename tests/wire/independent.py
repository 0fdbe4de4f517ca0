"""`make conformance`: other people's programs against the server, plain and behind TLS.

h2spec holds it to RFC 9113 and 7541, ghz calls it 20,000 times, and grpc-go's interoperability client goes through its
cases. They are written in Go and built once (tests/go_programs.py). Without Go on the PATH there is nothing to run, and
the exit status is 2.
"""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.go_programs import Program, build_all, say
from tests.transport.test_tls import certificate

ROOT = Path(__file__).parents[2]
# h2spec is older than go.mod, so the modules that it uses are named too.
H2SPEC = Program(
    "h2spec",
    "github.com/summerwind/h2spec/cmd/h2spec",
    (
        "github.com/summerwind/h2spec@v2.2.1+incompatible",
        "github.com/fatih/color@v1.19.0",
        "github.com/spf13/cobra@v1.10.2",
        "golang.org/x/net@v0.62.0",
    ),
)
GHZ = Program("ghz", "github.com/bojand/ghz/cmd/ghz", ("github.com/bojand/ghz@v0.93.0",))
INTEROP = Program("grpc-go-client", "google.golang.org/grpc/interop/client", ("google.golang.org/grpc@v1.85.0",))
H2SPEC_CASES = 146
GHZ_CALLS = 20_000
INTEROP_CASES = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "custom_metadata",
)
CHECK_S_MAX = 300


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens; `authority` is the file that its certificate is checked with, if it has one."""

    port: int
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A program to run, and what its output must say: empty for yes, else what is wrong."""

    name: str
    command: Sequence[str]
    fault: Callable[[str], str]

    def run(self) -> str:
        """What is wrong, or nothing."""
        try:
            done = subprocess.run(self.command, capture_output=True, text=True, timeout=CHECK_S_MAX, check=False)
        except subprocess.TimeoutExpired:
            return f"no end within {CHECK_S_MAX} s"
        fault = self.fault(done.stdout)
        if done.returncode and not fault:
            fault = f"exit status {done.returncode}"
        return fault and f"{fault}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def h2spec(server: Server) -> Check:
    """RFC 9113 and 7541, case by case."""
    tls = ("--tls", "--insecure") if server.authority else ()
    command = (str(H2SPEC.file), "--port", str(server.port), "--timeout", "10", "--strict", *tls)

    def fault(output: str) -> str:
        found = re.search(r"(\d+) tests, (\d+) passed", output)
        counts = tuple(map(int, found.groups())) if found else (0, 0)
        return "" if counts == (H2SPEC_CASES, H2SPEC_CASES) else f"{counts[1]} of {H2SPEC_CASES} cases passed"

    return Check("h2spec", command, fault)


def ghz(server: Server) -> Check:
    """Many calls on several connections, all of which must be OK."""
    load = (
        "-n",
        str(GHZ_CALLS),
        "-c",
        "64",
        "--connections",
        "4",
        "--format",
        "json",
        "--data",
        '{"response_size": 10}',
    )
    what = ("--proto", str(ROOT / "tests/wire/testing.proto"), "--call", "grpc.testing.TestService/UnaryCall")
    security = ("--cacert", server.authority) if server.authority else ("--insecure",)
    command = (str(GHZ.file), *load, *what, *security, f"127.0.0.1:{server.port}")

    def fault(output: str) -> str:
        try:
            statuses = json.loads(output)["statusCodeDistribution"]
        except (ValueError, KeyError):
            return "no report"
        return "" if statuses == {"OK": GHZ_CALLS} else f"statuses are {statuses}"

    return Check("ghz", command, fault)


def interop(server: Server, case: str) -> Check:
    """One case of grpc-go's client, which tells by its exit status."""
    tls = ("-use_tls", "-use_test_ca", "-ca_file", server.authority) if server.authority else ()
    command = (str(INTEROP.file), "-server_host", "127.0.0.1", "-server_port", str(server.port), "-test_case", case)
    return Check(f"grpc-go {case}", (*command, *tls), lambda _: "")


@contextlib.contextmanager
def serving(**settings: object) -> Iterator[int]:
    """A server in a process of its own, and its port."""
    command = (sys.executable, "-m", "tests.wire.served", json.dumps(settings))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        yield int(program.stdout.readline())
        program.communicate(b"", timeout=60)


def run(server: Server) -> int:
    """Run everything against one server; how many checks failed."""
    kind = "TLS" if server.authority else "plain"
    failed = 0
    for check in (h2spec(server), ghz(server), *(interop(server, case) for case in INTEROP_CASES)):
        fault = check.run()
        failed += bool(fault)
        say(f"{kind}: {check.name}: {fault or 'passed'}")
    return failed


def main() -> int:
    """The exit status: 0 where all passed, 1 where not, 2 without Go."""
    if status := build_all((H2SPEC, GHZ, INTEROP), "make conformance"):
        return status
    with serving() as port:
        failed = run(Server(port))
    with tempfile.TemporaryDirectory() as folder:
        cert, key = certificate(Path(folder), "server", "IP:127.0.0.1")
        tls = {"grpc_server_use_tls": True, "grpc_server_tls_cert": cert, "grpc_server_tls_key": key}
        with serving(**tls) as port:
            failed += run(Server(port, cert))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
