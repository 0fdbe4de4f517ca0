"""Ledgers that replicas share, as this service uses them: with a name in the store, and a limit that may change."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ratelimit.quota.ledger_store import LedgerStore
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.shared_ledger import Place, SharedLedger
from ratelimit.service.quota_limits import Divided, LedgerKey

NAME_BYTES_MAX = 200


class SharedBucketLedger(SharedLedger):
    """A `QuotaLedger` whose rows other replicas have too."""

    @property
    def options(self) -> LedgerOptions:
        """What it is made for."""
        return self._options

    @options.setter
    def options(self, options: LedgerOptions) -> None:
        # The copy has a tuning of its own: leases that are renewed here are known elsewhere a moment later.
        self._options = options
        self.copy.options = replace(options, tuning=self.copy.options.tuning)


class SharedPlace(NamedTuple):
    """Where ledgers are shared, who this replica is, and until when others' assignments may be in force unseen."""

    store: LedgerStore
    replica: str
    learn_until_s: float


def make_shared(shared: SharedPlace, divided: Divided, wake: Callable[[], None]) -> SharedBucketLedger:
    """The ledger of a limit in a store; `wake` is called when an answer brought something to send."""
    place = Place(shared.store, name_of(divided.key), shared.replica)
    made = SharedBucketLedger(divided.options, place, shared.learn_until_s, wake)
    made.options = divided.options
    return made


def name_of(key: LedgerKey) -> bytes:
    """A ledger's name in the store: its domain and entries, unambiguous, and short however long they are."""
    name = json.dumps([key[0], *key[1]], ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(name) <= NAME_BYTES_MAX:
        return name
    return hashlib.blake2b(name, digest_size=16).hexdigest().encode()
