"""Documents of the formats that people have: their texts out, the translations back in.

A format is a module with one function, which reads a file's bytes into a `Document`: units of text,
and a function that writes the file with their translations. `formats.py` has the table. Nothing
here knows HTTP, a store or a model: who has the units translated decides how.
"""
