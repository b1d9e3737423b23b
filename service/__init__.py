"""Everything that knows HTTP or Ray. Holds no tensor."""
