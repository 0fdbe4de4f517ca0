"""Processes in the place of a worker's: they start in no time, and do what a test wants."""

import sys

# A worker that does everything right, word by word. Before it is asked for anything else, `code` may change that:
# `does` maps a word to what is done with its line.
_FAKE = """
import json, os, socket, sys, time
end = socket.socket(fileno=int(sys.argv[1]))
lines = end.makefile("r")
def say(**fields):
    end.sendall(json.dumps(fields).encode() + b"\\n")
rows = 0
def nodes(line):
    global rows
    rows += len(line["nodes"])
does = {
    "start": lambda line: say(counted={"singles": {"ratelimit.redis_pool.cx_active": 1}}),
    "begin": lambda line: None,
    "nodes": nodes,
    "whole": lambda line: say(whole=line["whole"]),
    "swap": lambda line: say(swapped=line["swap"]),
    "serve": lambda line: (say(serving=True), say(healthy=True)),
    "ask": lambda line: say(answer=line["ask"], message=line["message"]),
    "drain": lambda line: sys.exit(0),
    "stage": lambda line: None,
}
"""
_LOOP = """
for text in lines:
    line = json.loads(text)
    does[next(iter(line))](line)
"""


def fake(code: str = "") -> tuple[str, ...]:
    """The command of one; `code` comes before it hears anything."""
    return (sys.executable, "-S", "-c", f"{_FAKE}{code}\n{_LOOP}")
