"""What the way to a model costs: `python -m loadtests.gateway_cost`.

The gateway as it is, behind both of Ray Serve's ways in, before a model that answers at once, and
beside them one process of uvicorn with the same application but no Ray, and one with nothing but a
FastAPI route that gives the same answer. All of them take turns in one run. Counted is the CPU time
of every process that serves, by its kind; not the load generator's, which is told beside it.

From the bottom up: a module imports what stands above it.

exchange            the one request and its answer
options             what is to be measured
load                clients that ask again as soon as they are answered
applications        a model that answers at once, the real gateway before it without Ray, and
                    FastAPI with nothing else
fake_service        the real gateway before that model, as Ray Serve runs both
server              a contender's process
contender           the parent's end of it
benchmark, report   one run, and what came of it

It imports parts of `service`, in the processes that it measures only.
"""
