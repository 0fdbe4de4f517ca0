"""`ratelimit migrate-check`: what changes for a deployment of envoyproxy/ratelimit that moves here."""
