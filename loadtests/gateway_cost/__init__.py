"""What the way to a model costs: `python -m loadtests.gateway_cost`.

The gateway as it is, behind both of Ray Serve's ways in, before a model that answers at once, and
beside them one process of uvicorn with the same application but no Ray, and one with nothing but a
FastAPI route that gives the same answer. All of them take turns in one run. Counted is the CPU time
of every process that serves, by its kind; not the load generator's, which is told beside it.

It imports parts of `service`, in the processes that it measures only.
"""
