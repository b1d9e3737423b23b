"""The engine's runner in plain PyTorch: the reference implementation of the others."""
