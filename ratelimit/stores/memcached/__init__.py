"""Counters in memcached 1.6 or later, spread over its servers by key."""
