"""RateLimitQuotaService: streams of Envoys in, reports to the ledgers of the quota floor, what they say back out.

No stream can hold more than its bounds, and none is told what another Envoy is to hear.
"""
