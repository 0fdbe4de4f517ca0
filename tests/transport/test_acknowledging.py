import math

from ratelimit.transport import frames
from ratelimit.transport.acknowledging import OUTSTANDING_MAX, WAITING_MAX, Acknowledgements
from tests.transport.core import Frame, parsed


class Wire:
    """The output of a connection, and what was told of its being read."""

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self.asked = Acknowledgements(self.output.append, self.output)
        self.told: list[str] = []

    def ask(self, name: str, now: float = 0.0) -> bool:
        """Ask, and note the answer under a name."""
        return self.asked.ask(lambda: self.told.append(name), now)

    def sent(self) -> list[Frame]:
        """What goes out now."""
        found = parsed(b"".join(self.output))
        self.output.clear()
        return found

    def answer(self, ping: Frame, now: float = 0.0) -> list[str]:
        """The peer answers a PING: who is told."""
        assert self.asked.answered(ping.payload, now)
        before = len(self.told)
        for told in self.asked.take_ready():
            told()
        return self.told[before:]


def test_the_answer_to_a_ping_tells_that_all_before_it_was_read() -> None:
    """It stands behind what was sent, and who asks with nothing sent between shares it."""
    wire = Wire()
    wire.output.append(frames.frame(frames.DATA, 0, b"\0\0\0\1", b"x"))
    assert wire.ask("one", 7.0)
    assert wire.ask("two", 8.0)
    data, ping = wire.sent()
    assert (data.kind, ping.kind, ping.flags, len(ping.payload)) == (frames.DATA, frames.PING, 0, 8)
    assert wire.asked.oldest == 7.0
    assert wire.answer(ping) == ["one", "two"]
    assert wire.asked.oldest == math.inf


def test_what_was_sent_later_needs_a_ping_of_its_own() -> None:
    """Its answer counts for the earlier ones too, should theirs be missing."""
    wire = Wire()
    wire.ask("one")
    wire.sent()
    wire.ask("two")
    wire.output.append(frames.frame(frames.DATA, 0, b"\0\0\0\1", b"x"))
    wire.ask("three")
    second, _, third = wire.sent()
    assert wire.answer(second) == ["one", "two"]
    assert wire.answer(third) == ["three"]


def test_an_answer_that_nobody_waits_for_is_none() -> None:
    """Made up, or said twice."""
    wire = Wire()
    assert not wire.asked.answered(b"read\0\0\0\1", 0.0)
    wire.ask("one")
    (ping,) = wire.sent()
    assert wire.answer(ping) == ["one"]
    assert not wire.asked.answered(ping.payload, 0.0)


def test_pings_on_their_way_are_bounded() -> None:
    """Who asks beyond that shares the next one, which goes out when one of them was answered."""
    wire = Wire()
    pings = []
    for number in range(OUTSTANDING_MAX):
        wire.ask(str(number))
        pings += wire.sent()
    wire.ask("late")
    wire.ask("later")
    assert wire.sent() == []
    assert wire.answer(pings[0], 5.0) == ["0"]
    (last,) = wire.sent()
    assert wire.answer(last) == [*(str(number) for number in range(1, OUTSTANDING_MAX)), "late", "later"]


def test_a_peer_that_never_answers_makes_nobody_wait_without_bound() -> None:
    """Beyond the bound the asker hears at once that it will not be known."""
    wire = Wire()
    assert all(wire.ask(str(number)) for number in range(WAITING_MAX))
    assert not wire.ask("one more")
    (ping,) = wire.sent()
    assert len(wire.answer(ping)) == WAITING_MAX
    assert wire.ask("again")
