import asyncio
import time

from loadtest.loop_lag import percentile, probe


async def test_the_probe_sees_a_loop_that_is_held() -> None:
    """Work that holds the loop shows as lag of its length, once."""
    done = asyncio.Event()
    probing = asyncio.ensure_future(probe(done))
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251 - what is measured
    await asyncio.sleep(0.05)
    done.set()
    lags = await probing
    assert sum(lag > 0.15 for lag in lags) == 1


def test_percentiles_are_of_the_lags_themselves() -> None:
    """The lag that so many are not above."""
    lags = [0.003, 0.001, 0.002, 0.004]
    assert [percentile(lags, part) for part in (0, 0.5, 0.75, 0.99, 1)] == [0.001, 0.002, 0.003, 0.004, 0.004]
    assert percentile([], 0.99) == 0
