"""Model directories: their format, checked when read, whole when written."""
