"""The servers that the reference's integration tests expect, at the ports that stand in its Makefile."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "password123"
PLAIN = (6381, 6382)
# Of Redis behind TLS: the plain port, the TLS port, and whether a client must show a certificate.
TLS = ((6376, 16381, False), (6377, 16382, False), (6361, 16361, True))
CLUSTERS = ((6386, 6387, 6388), (6389, 6390, 6391))
# Masters, replicas and sentinels.
SENTINELS = ((6392, 6393, (26394, 26395, 26396)), (6397, 6398, (26399, 26400, 26401)))
START_S_MAX = 30


def lacking() -> list[str]:
    """Programs that are not here."""
    return [name for name in ("go", "redis-server", "redis-cli", "memcached", "openssl") if shutil.which(name) is None]


def certificate(folder: Path) -> None:
    """One certificate for clients, servers and as the authority: cert.pem and key.pem, as the reference has it."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """All of them, with their files below `folder`."""
    with contextlib.ExitStack() as stack:
        for port in PLAIN:
            stack.enter_context(redis(folder, port))
        for port, tls_port, strict in TLS:
            files = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem"]
            files = [str(folder / each) if each.endswith(".pem") else each for each in files]
            clients = ["--tls-auth-clients", "yes" if strict else "no"]
            stack.enter_context(redis(folder, port, "--tls-port", str(tls_port), *files, *clients))
        for ports in CLUSTERS:
            for port in ports:
                stack.enter_context(redis(folder, port, "--cluster-enabled", "yes"))
            addresses = [f"127.0.0.1:{port}" for port in ports]
            command = ["redis-cli", "-a", PASSWORD, "--cluster", "create", *addresses, "--cluster-replicas", "0"]
            subprocess.run([*command, "--cluster-yes"], check=True, capture_output=True)
        for master, replica, sentinels in SENTINELS:
            stack.enter_context(redis(folder, master))
            of = ["--replicaof", f"127.0.0.1 {master}", "--masterauth", PASSWORD]
            stack.enter_context(redis(folder, replica, *of))
            for port in sentinels:
                stack.enter_context(sentinel(folder, port, master))
        yield


@contextlib.contextmanager
def redis(folder: Path, port: int, *more: str) -> Iterator[None]:
    """A Redis with the password."""
    arguments = ["--port", str(port), "--requirepass", PASSWORD, "--save", "", *more]
    with server(folder, port, "redis-server", *arguments):
        yield


@contextlib.contextmanager
def sentinel(folder: Path, port: int, master: int) -> Iterator[None]:
    """A sentinel of `mymaster`."""
    configuration = folder / f"sentinel-{port}.conf"
    configuration.write_text(
        f"port {port}\nsentinel monitor mymaster 127.0.0.1 {master} 2\nsentinel auth-pass mymaster {PASSWORD}\n"
        "sentinel down-after-milliseconds mymaster 3000\n"
    )
    with server(folder, port, "redis-server", str(configuration), "--sentinel"):
        yield


@contextlib.contextmanager
def server(folder: Path, port: int, *command: str) -> Iterator[None]:
    """A process that listens, in a folder of its own; ended by its id."""
    place = folder / str(port)
    place.mkdir()
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S_MAX
        while not listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} does not listen at port {port}: is another one there?")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def environment(folder: Path, command: str) -> dict[str, str]:
    """What the tests and the server that they start see: the certificate is one of the system's."""
    ours = {"PROJECT_DIR": str(folder), "SSL_CERT_FILE": str(folder / "cert.pem"), "RATELIMIT_COMMAND": command}
    return {**os.environ, **ours}
