"""The recipe that makes a model directory out of parallel text."""
