"""`make demo`: the catalog example with a real Envoy, two instances of the service and an embedded Valkey."""

import os

# Programs are started while clients of grpcio are at work here: its hooks on fork(2) would crash or hang some of them.
# It asks once, when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
