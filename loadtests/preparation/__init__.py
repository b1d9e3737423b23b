"""What it costs to prepare texts for an engine, and to put its results into them."""
