"""A global rate limit service for Envoy: `envoy.service.ratelimit.v3.RateLimitService` over Redis or Valkey."""
