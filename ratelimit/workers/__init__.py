"""Several processes that answer calls on one port, and the one that starts them, feeds them and adds them up.

cores, shared_port   how many workers there may be, and the port that all of them take calls on
pipe                 the lines between the supervisor and a worker
process, received    the worker's side: `python -m ratelimit.workers.process`, and its configurations
child                a process of ours with its pipe, and the spare one
worker_process       the supervisor's side of one worker: feeds it, hears it
rounds               when a worker that ended is started again, and what is said of it
supervisor           all of them together, as app.py knows them

The supervisor imports neither gRPC nor a store; only `process` knows `ratelimit.worker`.
"""
