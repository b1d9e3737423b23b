"""The FastAPI application: routes, middleware, admission control."""
