"""Everyday texts and noisy input, and what must be true of their translations."""
