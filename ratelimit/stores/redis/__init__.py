"""Redis and Valkey: connections that many batches share, the scripts that count, the store on top."""
