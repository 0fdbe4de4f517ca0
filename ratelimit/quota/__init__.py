"""The quota floor: one limit divided over many Envoys that count for themselves (Envoy's rate limit quota service).

Reports, acknowledgements and moments come in, assignments go out. It defines the port `LedgerStore` that the stores
floor fills in. Pure: no event loop, no clock, no log; every moment is handed in, in seconds of one monotonic clock.
"""
