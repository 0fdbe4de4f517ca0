"""Write the folders of the clusters, or divide a configuration of one's own.

python -m deploy.multicluster                                     the files of cluster1 and cluster2
python -m deploy.multicluster CONFIG OUT cluster1=3 cluster2=2    OUT/cluster1.yaml, OUT/cluster2.yaml
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.multicluster.folders import files, write
from deploy.multicluster.split import split


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, 1 where something cannot be divided or read, 2 for wrong arguments."""
    if arguments and len(arguments) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if not arguments:
            print("\n".join(write(files())) or "nothing changed")
            return 0
        config, out, *weights = arguments
        return _divide(Path(config), Path(out), dict(_weight(each) for each in weights))
    except (OSError, ValueError) as error:
        print(f"multicluster: {error}", file=sys.stderr)
        return 1


def _divide(config: Path, out: Path, weights: dict[str, int]) -> int:
    texts, nothing = split(config.read_text(), weights)
    write({f"{cluster}.yaml": text for cluster, text in texts.items()}, out)
    for each in nothing:
        print(f"{config}: {each}", file=sys.stderr)
    return 0


def _weight(text: str) -> tuple[str, int]:
    cluster, _, weight = text.partition("=")
    if not cluster or not weight.isdecimal():
        raise ValueError(f"{text!r} is no CLUSTER=WEIGHT")
    return cluster, int(weight)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
