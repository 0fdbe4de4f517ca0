from itertools import islice

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from loadtest.answers import opening
from loadtest.request_frames import CONFIG, KINDS, framed, messages, request, request_frames
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2


def test_messages_have_grpc_s_prefix() -> None:
    """A flag, and the length in four bytes."""
    assert framed(b"abc") == b"\0\0\0\0\3abc"


@pytest.mark.parametrize("kind", KINDS)
def test_an_http2_server_reads_the_frames(kind: str) -> None:
    """Each request is a whole call with one message, on the streams 1, 3 and 5."""
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    frames = request_frames(kind, 3)
    events = server.receive_data(opening() + frames.wire)
    assert [event.stream_id for event in events if isinstance(event, RequestReceived)] == [1, 3, 5]
    assert [event.stream_id for event in events if isinstance(event, StreamEnded)] == [1, 3, 5]
    found = [event.data for event in events if isinstance(event, DataReceived)]
    parsed = [rls_pb2.RateLimitRequest.FromString(data[5:]) for data in found]
    assert [len(message.descriptors) for message in parsed] == [len(KINDS[kind])] * 3
    assert frames.ends[-1] == len(frames.wire)
    assert frames.window == [sum(map(len, found[: number + 1])) for number in range(3)]
    assert len(frames) == 3


def test_unique_values_are_unique_in_every_run() -> None:
    """No message comes twice, in the same run or in another; those of the other kinds are all alike."""
    found = [*islice(messages("unique"), 100), *islice(messages("unique"), 100)]
    assert len(set(found)) == 200
    assert len({len(message) for message in found}) == 1
    assert set(islice(messages("constant"), 9)) == {request()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_limits_what_is_asked(kind: str) -> None:
    """Every descriptor of every kind reaches a limit."""
    nodes = load_config([ConfigFile("bench.yaml", CONFIG.encode())]).domains["bench"].children
    assert all(nodes[key].limit is not None for key, _ in KINDS[kind])
