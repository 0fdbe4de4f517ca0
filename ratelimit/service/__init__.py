"""The service floor: protobuf in and out (nowhere else), ShouldRateLimit and health."""
