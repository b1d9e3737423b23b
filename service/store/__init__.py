"""What must survive: keys, usage, glossaries, suggestions, documents; in a database and blobs."""
