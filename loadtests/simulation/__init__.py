"""A cluster in numbers: how many replicas there are, how long sentences wait, and what it costs.

`python -m loadtests.simulation` runs all scenarios and writes REPORT.md and its plots anew. The
decisions are those of `service.autoscaling.decision`, the very code that runs in the service;
traffic, replicas and the delays of Ray Serve around it are modelled here.
"""
