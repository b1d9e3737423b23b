"""How many replicas a model needs, and Ray Serve's way of asking."""
