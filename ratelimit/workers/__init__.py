"""Several processes that answer calls on one port, and the one that starts them, feeds them and adds them up.

cores, shared_port   how many workers there may be, and the port that all of them take calls on
pipe                 the lines between the supervisor and a worker
process              the worker's side: `python -m ratelimit.workers.process`
worker_process       the supervisor's side of one worker: starts it, hears it, ends it
rounds               when a worker that ended is started again, and what is said of it
handing_on           a configuration on its way to all workers, in force in all at once
supervisor           all of them together, as app.py knows them

The supervisor imports neither gRPC nor a store; only `process` knows `ratelimit.worker`.
"""
