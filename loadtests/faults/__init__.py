"""What happens to requests when a part of the service dies, hangs or is replaced under load.

`python -m loadtests.faults` starts a service of its own for each case, on this machine, sends it a
steady load, does one thing to it, and counts what the clients saw.
"""
