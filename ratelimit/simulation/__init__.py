"""`ratelimit simulate DIR LOG`: what a configuration would have denied of real traffic.

Fields of a log become requests (`template.py`, `descriptor_columns.py`), the service's own planner plans them, and they
are counted at the moments of the log: by the limiter and the memory store, or by a fast lane that is proved to agree.
"""
