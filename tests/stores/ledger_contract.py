"""What every ledger store promises: one suite, run on each."""

import asyncio

from ratelimit.quota.ledger_store import NOTHING, Commit, CommitResult, Committed, LedgerStore, Outdated

BUCKET = b"shop\x00{plan=gold}"
ANSWER_S = 5.0


async def result_of(store: LedgerStore, commit: Commit) -> CommitResult:
    """What a commit comes to."""
    answered: asyncio.Future[CommitResult] = asyncio.get_running_loop().create_future()
    commit.deadline_s = ANSWER_S
    store.commit(commit, answered.set_result)
    return await answered


async def committed(store: LedgerStore, version: int, rows: dict[str, bytes | None], head: bytes | None = None) -> int:
    """Commit, and return the version that came of it."""
    result = await result_of(store, Commit(BUCKET, version, rows, head))
    assert isinstance(result, Committed)
    return result.version


async def news(store: LedgerStore, version: int) -> Outdated:
    """What is new since a version that is not the last."""
    result = await result_of(store, Commit(BUCKET, version))
    assert isinstance(result, Outdated)
    return result


class LedgerStoreContract:
    """Subclasses give the fixture `ledgers`."""

    async def test_nothing_is_there_at_first(self, ledgers: LedgerStore) -> None:
        """Who asks is told that nothing is new, and what time it is there."""
        result = await result_of(ledgers, Commit(BUCKET, NOTHING))
        assert isinstance(result, Committed)
        assert result.version == NOTHING
        assert result.now_s > 1_000_000_000

    async def test_what_is_committed_is_there(self, ledgers: LedgerStore) -> None:
        """Rows of any bytes, and the head; the version grows."""
        first = await committed(ledgers, NOTHING, {"a": b"\x00\xff\r\n", "é {b}": b"2"}, b"head")
        second = await committed(ledgers, first, {"a": b"3"})
        assert NOTHING < first < second
        found = await news(ledgers, NOTHING)
        assert (found.version, found.whole) == (second, True)
        assert found.rows == {"a": b"3", "é {b}": b"2"}
        assert found.head == b"head"

    async def test_who_comes_second_changes_nothing(self, ledgers: LedgerStore) -> None:
        """And is told what changed, no more."""
        first = await committed(ledgers, NOTHING, {"a": b"1", "b": b"1"}, b"1")
        second = await committed(ledgers, first, {"b": b"2"}, b"2")
        late = await result_of(ledgers, Commit(BUCKET, first, {"a": b"9", "b": None}, b"9"))
        assert late == Outdated(second, late.now_s, {"b": b"2"}, b"2", whole=False)  # type: ignore[union-attr]
        assert (await news(ledgers, NOTHING)).rows == {"a": b"1", "b": b"2"}

    async def test_the_last_version_has_nothing_new(self, ledgers: LedgerStore) -> None:
        """Asking changes nothing."""
        version = await committed(ledgers, NOTHING, {"a": b"1"})
        assert await committed(ledgers, version, {}) == version

    async def test_a_deletion_is_seen(self, ledgers: LedgerStore) -> None:
        """Whoever has an older version is told all rows that are left."""
        first = await committed(ledgers, NOTHING, {"a": b"1", "b": b"1"})
        second = await committed(ledgers, first, {"a": None})
        assert (await news(ledgers, first)).rows == {"b": b"1"}
        assert (await news(ledgers, first)).whole
        third = await committed(ledgers, second, {"b": b"3"})
        assert not (await news(ledgers, second)).whole
        assert third > second

    async def test_a_version_of_another_life_is_outdated(self, ledgers: LedgerStore) -> None:
        """What is committed to a bucket that the store lost does not apply, and neither does one from the future."""
        lost = await result_of(ledgers, Commit(BUCKET, 57, {"a": b"1"}))
        assert lost == Outdated(NOTHING, lost.now_s, {}, b"", whole=True)  # type: ignore[union-attr]
        version = await committed(ledgers, NOTHING, {"a": b"1"})
        found = await news(ledgers, version + 10)
        assert (found.version, found.whole, found.rows) == (version, True, {"a": b"1"})

    async def test_buckets_do_not_meet(self, ledgers: LedgerStore) -> None:
        """Each has rows and a version of its own."""
        await committed(ledgers, NOTHING, {"a": b"1"})
        other = await result_of(ledgers, Commit(b"other", NOTHING))
        assert isinstance(other, Committed)

    async def test_many_rows_go_at_once(self, ledgers: LedgerStore) -> None:
        """As many as a fleet has Envoys."""
        rows: dict[str, bytes | None] = {f"envoy-{number}": b"%d" % number for number in range(3_000)}
        await committed(ledgers, NOTHING, rows, b"head")
        assert (await news(ledgers, NOTHING)).rows == rows

    async def test_only_one_of_many_wins(self, ledgers: LedgerStore) -> None:
        """Of commits made from one version, at the same time."""
        version = await committed(ledgers, NOTHING, {"a": b"0"})
        tries = [result_of(ledgers, Commit(BUCKET, version, {"a": b"%d" % number})) for number in range(20)]
        results = await asyncio.gather(*tries)
        assert sum(isinstance(each, Committed) for each in results) == 1
