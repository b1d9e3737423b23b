"""Other projects' checkpoints as model directories: one module for each format."""
