"""Calls of the compiled engine, recorded here and replayed where Python is not: on another CPU."""
