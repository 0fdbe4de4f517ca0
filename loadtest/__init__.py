"""Load tests: `make bench`, and configurations for ghz and locust."""
