"""The descriptors floor: what the configuration says, and which limit a descriptor reaches.

Values and pure functions only: no I/O, no asyncio, no metrics, no protobuf.
"""
