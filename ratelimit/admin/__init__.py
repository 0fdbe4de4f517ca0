"""The admin floor: HTTP for people and probes: /healthcheck, /json, /rlconfig, /stats, /metrics, /explain, the page."""
