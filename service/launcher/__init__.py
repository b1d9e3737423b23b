"""`polyhead serve` on one machine: a local Ray behind HAProxy, ports and resources."""
