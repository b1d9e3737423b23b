"""Everyday and unkind texts, and what must be true of their translations."""
