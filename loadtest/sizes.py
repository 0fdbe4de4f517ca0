"""Numbers that size a run, from the environment."""

import os


def number_of(variable: str, default: int, least: int) -> int:
    """A number from the environment. Raises ValueError naming the variable."""
    text = os.environ.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise ValueError(f"{variable}: a whole number from {least} on is wanted (is {text[:100]!r})")
    return int(text)
