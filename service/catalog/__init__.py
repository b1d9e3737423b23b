"""Which models the service has, where each one runs, and what was changed while it serves.

Free of Ray and of tensors.
"""
