"""The limiter floor: from a request to counter keys, and from counts to a decision.

It defines the port `CounterStore` that the stores floor fills in. Pure but for the batch of one loop tick, which is
driven by a `schedule` function handed in: no asyncio, no metrics, no protobuf.
"""
