"""Other people's servers with our weights, beside ours under the same load."""
