"""Traces of calls, where TRACING_ENABLED: which calls are traced, and a process that makes spans of them.

sampling   which calls: those of a traced caller, and a part of those without a trace
traces     what the serving process does: a wrapped call tells of its end, records go out in packets
sender     the process that makes spans of records, and sends them with OpenTelemetry's SDK

Making and encoding two spans takes 0.1 ms, and a batch of them holds the interpreter's lock for 20 ms: not where calls
are answered. A call that is not traced costs a look at what its transport knows of its parent.
"""
