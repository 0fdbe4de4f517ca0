"""What stands before the rate limit filter in deploy/istio, in the real Envoy, and in which order.

Envoy's runtime for plugins (V8) reserves address space by the terabyte: it does not start under `ulimit -v`.
"""

import asyncio
import base64
import json
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import wasmtime
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.processes import LOOPBACK, ROOT, Envoy, config_map, start_envoy, start_service, start_upstream
from tests.deploy.patches import ISTIO, apply, connection_manager, patient, sidecar
from tests.integration.scene import in_one_window

LIMITED = "outbound|8081||ratelimit.istioinaction.svc.cluster.local"
LOYALTY = "outbound|80||loyalty.istioinaction.svc.cluster.local"
FILES = ("tap/tap.yaml", "lua/loyalty.yaml", "ratelimit-filter.yaml", "ratelimit-actions.yaml")
# For the plugin's descriptor: what docs/extending.md adds to the catalog.
PATHS = """\
  - key: path_group
    value: /items
    rate_limit: {unit: minute, requests_per_unit: 2}
"""
CALLERS = {"anna": "gold", "ben": "silver", "cleo": "bronze", "eve": "platinum", "new": ""}
GROUPS = {f"Bearer {caller}": group for caller, group in CALLERS.items()}


def wasm_filter(file: Path) -> dict[str, Any]:
    """What istiod makes of the WasmPlugin with a file: the plugin's filter, before those of EnvoyFilters."""
    plugin = yaml.safe_load((ISTIO / "wasm" / "file" / "wasm-plugin.yaml").read_text())
    assert plugin["spec"]["failStrategy"] == "FAIL_CLOSE"
    code = {"local": {"filename": str(file)}}
    return {
        "name": f"extensions.istio.io/wasmplugin/{plugin['metadata']['namespace']}.{plugin['metadata']['name']}",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "catalog-path-group",
                "failure_policy": "FAIL_CLOSED",
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": code},
            },
        },
    }


def module() -> bytes:
    """The plugin as the ConfigMap has it."""
    found = yaml.safe_load((ISTIO / "wasm" / "file" / "configmap.yaml").read_text())
    return base64.b64decode(found["binaryData"]["path-group.wasm"], validate=True)


def bootstrap(file: Path) -> dict[str, Any]:
    """The catalog's sidecar with everything applied."""
    result = patient(apply(sidecar(), *FILES, "wasm/ratelimit-actions.yaml"))
    filters = connection_manager(result)["http_filters"]
    (lua,) = (each["typed_config"]["default_source_code"] for each in filters if "lua" in each["name"])
    assert "TIMEOUT_MS = 100\n" in lua["inline_string"]
    lua["inline_string"] = lua["inline_string"].replace("TIMEOUT_MS = 100\n", "TIMEOUT_MS = 1000\n")  # we may be busy
    filters.insert(0, wasm_filter(file))
    loyalty = {"name": LOYALTY, "connect_timeout": "1s", "load_assignment": {"cluster_name": LOYALTY}}
    result["static_resources"]["clusters"].append(loyalty)
    return result


class Chain:
    """A running sidecar, what it calls, and the headers that the catalog got."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self.got: list[Mapping[str, str]] = []
        self.asked: list[str] = []
        self.ended = asyncio.Event()
        self.envoy: Envoy

    async def start(self) -> None:
        """Start the service, the catalog, the loyalty service and Envoy."""
        config = in_one_window((ROOT / "config" / "catalog.yaml").read_text() + PATHS)
        environ = {
            "RUNTIME_ROOT": str(config_map(self._folder / "runtime", config)),
            "RUNTIME_IGNOREDOTFILES": "true",
            "BACKEND_TYPE": "memory",
            "DRAIN_DELAY": "0",
        }
        instance = await start_service("ratelimit", self._folder, environ)
        self._stack.push_async_callback(instance.program.stop, 9)
        file = self._folder / "path-group.wasm"
        file.write_bytes(module())
        self._endpoints = {
            LIMITED: [instance.grpc_port],
            "catalog": [await start_upstream(self._stack, self._catalog)],
            LOYALTY: [await start_upstream(self._stack, self._loyalty)],
        }
        self._stack.callback(self.ended.set)
        await self.start_envoy(bootstrap(file))

    async def start_envoy(self, config: dict[str, Any]) -> None:
        """Start an Envoy, the one that is asked from now on."""
        self.envoy = await start_envoy(self._folder, config, self._endpoints)
        self._stack.push_async_callback(self.envoy.program.stop)

    async def ask(self, times: int, path: str = "/", **headers: str) -> Counter[tuple[int, str]]:
        """Requests sent together: their statuses, and the loyalty that the response tells."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession(f"http://{LOOPBACK}:{self.envoy.port}") as session:
            replies = await asyncio.gather(*(session.get(path, headers=fields) for _ in range(times)))
        return Counter((reply.status, reply.headers["x-loyalty-group"]) for reply in replies)

    async def _catalog(self, request: web.Request) -> web.Response:
        self.got.append(request.headers)
        return web.Response(text="[]")

    async def _loyalty(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        caller = request.headers["authorization"]
        if caller == "Bearer slow":
            await self.ended.wait()
        return web.Response(text=GROUPS.get(caller, "gold"), status=200 if caller in GROUPS else 500)


@pytest_asyncio.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """Running; ended after the test, and Envoy had nothing deprecated to say."""
    async with AsyncExitStack() as stack:
        chain = Chain(stack, tmp_path)
        await chain.start()
        yield chain
    assert "deprecated" not in chain.envoy.program.log.read_text().lower()


async def traced(chain: Chain, path: str, **headers: str) -> dict[str, Any]:
    """What the tap of the admin port shows of one request."""
    match = {"http_request_headers_match": {"headers": [{"name": "x-app-tap", "string_match": {"exact": "yes"}}]}}
    sinks = [{"format": "JSON_BODY_AS_STRING", "streaming_admin": {}}]
    asked = {"config_id": "tap_config", "tap_config": {"match": match, "output_config": {"sinks": sinks}}}
    address = f"http://{LOOPBACK}:{chain.envoy.admin_port}/tap"
    async with aiohttp.ClientSession() as session, session.post(address, json=asked) as stream:
        await chain.ask(1, path, x_app_tap="yes", **headers)
        text = b""
        async for piece in stream.content.iter_any():
            text += piece
            try:
                return dict(json.loads(text)["http_buffered_trace"])
            except ValueError:
                continue
    raise AssertionError(text)


def fields(trace: dict[str, Any], side: str) -> dict[str, str]:
    """The headers of one side of a trace."""
    return {each["key"]: each["value"] for each in trace[side]["headers"]}


async def groups(chain: Chain) -> None:
    """Its answer counts and is told; a client's own word never, and no answer, a wrong or a late one is no loyalty."""
    assert await chain.ask(12, authorization="Bearer anna") == {(200, "gold"): 10, (429, "gold"): 2}
    assert {each["x-loyalty"] for each in chain.got} == {"gold"}
    asked = len(chain.asked)
    assert await chain.ask(3, x_loyalty="gold") == {(200, "none"): 1, (429, "none"): 2}
    assert "x-loyalty" not in chain.got[-1]
    assert len(chain.asked) == asked
    for caller in ("eve", "new", "nobody", "slow"):
        assert await chain.ask(1, authorization=f"Bearer {caller}", x_loyalty="gold") == {(429, "none"): 1}
    assert len(chain.asked) == asked + 4


async def paths(chain: Chain) -> None:
    """Whatever the query, whatever the client says; a value of more than 4 KiB is none that the service takes."""
    silver = {"authorization": "Bearer ben"}
    assert await chain.ask(1, "/items/7?page=2", **silver, x_path_group="/other") == {(200, "silver"): 1}
    assert await chain.ask(1, "/items?page=3", **silver) == {(200, "silver"): 1}
    assert {each["x-path-group"] for each in chain.got[-2:]} == {"/items"}
    assert await chain.ask(1, "/items", **silver, x_path_group="/other") == {(429, "silver"): 1}
    long = "/" + "a" * 4_000
    assert await chain.ask(1, f"{long}/b", authorization="Bearer cleo") == {(200, "bronze"): 1}
    assert chain.got[-1]["x-path-group"] == long
    assert await chain.ask(1, "/?items", authorization="Bearer cleo") == {(200, "bronze"): 1}
    assert chain.got[-1]["x-path-group"] == "/"
    assert await chain.ask(1, long * 2, authorization="Bearer cleo") == {(200, "bronze"): 1}
    assert await chain.ask(1, f"{long}{long[1:]}", authorization="Bearer cleo") == {(500, "bronze"): 1}


async def test_what_stands_before_decides_what_is_limited(chain: Chain, tmp_path: Path) -> None:
    """A service says who a caller is, a plugin what a path is, the tap why; a service that is not there, nothing."""
    await groups(chain)
    await paths(chain)
    trace = await traced(chain, "/items/1", authorization="Bearer ben", x_loyalty="gold")
    assert fields(trace, "request")["x-path-group"] == "/items"
    assert fields(trace, "request")["x-loyalty"] == "silver"
    assert fields(trace, "response")[":status"] == "429"
    assert fields(trace, "response")["x-loyalty-group"] == "silver"
    config = bootstrap(tmp_path / "path-group.wasm")
    assert config["static_resources"]["clusters"].pop()["name"] == LOYALTY
    await chain.start_envoy(config)
    assert await chain.ask(1, authorization="Bearer ben", x_loyalty="silver") == {(429, "none"): 1}


def test_filters_stand_in_the_order_of_the_document(tmp_path: Path) -> None:
    """The plugin, the tap, Lua, the rate limit, the router; whatever the order in which files are applied."""
    names = [each["name"] for each in connection_manager(bootstrap(tmp_path))["http_filters"]]
    others = [each["name"] for each in connection_manager(apply(sidecar(), *reversed(FILES)))["http_filters"]]
    assert names == ["extensions.istio.io/wasmplugin/istioinaction.catalog-path-group", *others]
    short = [name.removeprefix("envoy.filters.http.") for name in others]
    assert short == ["tap", "lua.loyalty", "ratelimit", "router"]
    table = (ROOT / "docs" / "extending.md").read_text().partition("| order |")[2]
    places = [table.index(f"`{name}`") for name in (names[0], "envoy.filters.http.tap", *others[1:])]
    assert places == sorted(places)


def test_the_shipped_module_is_its_source() -> None:
    """The ConfigMap has what path-group.wat compiles to."""
    assert module() == bytes(wasmtime.wat2wasm((ISTIO / "wasm" / "path-group.wat").read_text()))


class Host:
    """What a plugin sees of Envoy, for one request at a time: its headers."""

    def __init__(self) -> None:
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        number = wasmtime.ValType.i32()
        for name, count in (("get", 5), ("replace", 5), ("remove", 3)):
            kind = wasmtime.FuncType([number] * count, [number])
            linker.define_func("env", f"proxy_{name}_header_map_value", kind, getattr(self, f"_{name}"))
        self._exports = linker.instantiate(self._store, wasmtime.Module(engine, module())).exports(self._store)
        self._headers: dict[bytes, bytes] = {}

    def request(self, headers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """The headers after the plugin."""
        self._headers = dict(headers)
        assert self._call("proxy_on_request_headers", 2, len(headers), 1) == 0
        return self._headers

    def _call(self, name: str, *arguments: int) -> int:
        return int(self._exports[name](self._store, *arguments))  # type: ignore[operator]

    def _read(self, place: int, size: int) -> bytes:
        return bytes(self._exports["memory"].read(self._store, place, place + size))  # type: ignore[union-attr]

    def _write(self, data: bytes, place: int) -> None:
        self._exports["memory"].write(self._store, data, place)  # type: ignore[union-attr]

    def _get(self, kind: int, key: int, size: int, value: int, value_size: int) -> int:
        found = self._headers.get(self._read(key, size))
        if found is None:
            return 1
        place = self._call("proxy_on_memory_allocate", len(found))
        self._write(found, place)
        self._write(struct.pack("<i", place), value)
        self._write(struct.pack("<i", len(found)), value_size)
        return 0

    def _replace(self, kind: int, key: int, size: int, value: int, value_size: int) -> int:
        self._headers[self._read(key, size)] = self._read(value, value_size)
        return 0

    def _remove(self, kind: int, key: int, size: int) -> int:
        self._headers.pop(self._read(key, size), None)
        return 0


@pytest.fixture(scope="module")
def host() -> Host:
    """One instance for all requests, as in Envoy."""
    return Host()


@given(path=st.text("/?#ab%.", max_size=12).map(str.encode) | st.binary(max_size=40))
def test_a_group_is_the_first_segment(host: Host, path: bytes) -> None:
    """Of any bytes; what a client says of it is gone."""
    expected = path[:1] + re.split(rb"[/?#]", path[1:])[0]
    assert host.request({b":path": path, b"x-path-group": b"/other"})[b"x-path-group"] == expected


def test_a_long_path_makes_the_memory_grow_and_none_is_no_group(host: Host) -> None:
    """As long as Envoy may be told to take; a request without a path keeps no group of its client's."""
    for size in (60_000, 131_000, 131_072, 200_000, 8 << 20, 5):
        long = b"/" + b"a" * size
        assert host.request({b":path": long + b"/b"})[b"x-path-group"] == long
    assert host.request({b"x-path-group": b"/other"}) == {}


def test_both_plugins_are_one() -> None:
    """The one of the image and the one of the file differ in where they come from alone."""
    oci, file = (yaml.safe_load((ISTIO / "wasm" / each / "wasm-plugin.yaml").read_text()) for each in ("oci", "file"))
    assert oci["spec"].pop("url").startswith("oci://")
    assert file["spec"].pop("url") == "file:///var/local/wasm/path-group.wasm"
    del oci["spec"]["imagePullPolicy"]
    assert oci == file
