"""Autoscaling: the decision, and its policy for Ray Serve."""
