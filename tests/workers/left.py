"""What a test of processes leaves behind."""

import psutil


def left() -> list[psutil.Process]:
    """Children of this process, but for the servers that tests share."""
    return [child for child in psutil.Process().children() if child.name() != "valkey-server"]
