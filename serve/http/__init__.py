"""The HTTP API: routes, messages, what is checked of them, and the middlewares around."""
