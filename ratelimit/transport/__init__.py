"""The transport floor: bytes on a socket to calls, and answers back.

It knows nothing of rate limits: what it serves arrives as a table of methods (`methods.py`), or through the
registration surface of `grpc.aio.Server`. Each transport implements `GrpcServer`.
"""
