"""`polyhead loadtest`: requests that come when they come, whatever the service does."""
