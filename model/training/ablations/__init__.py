"""Ablations: what each part of a training recipe brings, by short runs with and without it."""
