from ratelimit.quota.ledger_store import NOTHING, Commit, Committed
from ratelimit.service.quota_limits import LedgerKey
from ratelimit.service.quota_shared import NAME_BYTES_MAX, name_of
from tests.service.quota_streams import PingedEnvoy, quota_service, report


class Store:
    """A `LedgerStore` that takes everything, and is asked by one replica."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.version = NOTHING

    def commit(self, commit: Commit, done: object) -> None:
        self.commits.append(commit)
        self.version += bool(commit.rows)
        assert callable(done)
        done(Committed(self.version, 1_700_000_000.0))


def test_names_are_unambiguous_and_short() -> None:
    """Whatever stands in keys and values."""
    keys: list[LedgerKey] = [("d", (("a", "b"),)), ("d", (("a", ""), ("b", "")))]
    keys += [("d", (('a","b', ""),)), ("e", (("a", "b"),)), ("d", (("a", "v" * 5000),)), ("d", (("a", "w" * 5000),))]
    names = [name_of(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert max(map(len, names)) <= NAME_BYTES_MAX


async def test_nothing_is_told_before_it_is_in_the_store() -> None:
    """Then the store wakes the ledger; a limit that changes is so in the copy, with the copy's own tuning."""
    store = Store()
    service, _ = quota_service(store=store)
    envoy = PingedEnvoy(service)
    told = await envoy.told(report(("name", "prod", 1, 0)))
    assert told.quota_assignment_action.rate_limit_strategy.token_bucket.tokens_per_fill.value > 0
    assert any(commit.rows for commit in store.commits)
    (bucket,) = service.ledgers
    tuning = bucket.ledger.options.tuning
    bucket.ledger.options = type(bucket.ledger.options)(7.0)
    assert bucket.ledger.shares(0.0).limit == 7.0
    assert tuning == bucket.ledger.options.tuning
    ((_, make),) = service.shares()
    share = make(100)
    assert (share["domain"], share["entries"], share["envoys_all"]) == ("d", [["name", "prod"]], 1)
    await envoy.end()
    service.close()
