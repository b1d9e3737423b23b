"""Load on a running service, over HTTP only, and benchmarks of the engine beside others.

Nothing in here imports `service`, except for `gateway_cost`, which measures a part of it.
"""
