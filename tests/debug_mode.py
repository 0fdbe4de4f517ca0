"""A plugin of pytest for .ci/debug (`-p tests.debug_mode`): asyncio's lines about slow callbacks are not logged.

They tell how busy the machine is, and would fail those tests that promise an empty log.
"""

import logging


def pytest_configure() -> None:
    """Leave the lines out at their logger, before any handler sees them."""
    logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing %s took"))
