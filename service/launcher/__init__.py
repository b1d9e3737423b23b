"""`polyhead serve` on one machine: a local Ray, HAProxy in front, ports and resources."""
