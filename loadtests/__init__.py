"""Load on a running service, over HTTP only: nothing in here imports `service`."""
