"""What runs models in Ray Serve: replicas, their deployments, and changes while they serve."""
