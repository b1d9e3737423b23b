"""Logs, metrics and traces of all processes."""
