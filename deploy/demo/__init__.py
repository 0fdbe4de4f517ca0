"""`make demo`: the catalog example with a real Envoy, two instances of the service and an embedded Valkey."""
