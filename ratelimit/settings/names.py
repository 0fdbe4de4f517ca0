"""Variables that look like settings and are none: a near miss would silently leave a default in force."""

import difflib
import re
from collections.abc import Collection, Iterable

# So alike two names must be: one letter in ten may differ.
LIKENESS = 0.9
# Kubernetes puts these into every container, for each service of the namespace (`REDIS_PORT_6379_TCP_ADDR`).
_OF_A_SERVICE = re.compile(r".*(_SERVICE_(HOST|PORT)(_.*)?|_PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)")


def near_misses(given: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Of each name in `given` that is none of `known` but very near to one, that one.

    Only names that begin as ours do, with the same first word: whoever else shares the environment is not meant.
    """
    words = {name.partition("_")[0] for name in known if "_" in name}
    found = {}
    for name in given:
        first, underscore, _ = name.partition("_")
        if name in known or not underscore or first not in words or _OF_A_SERVICE.fullmatch(name):
            continue
        if near := difflib.get_close_matches(name, known, n=1, cutoff=LIKENESS):
            found[name] = near[0]
    return found
