"""The HTTP side of a service: routes, middleware, uploads, errors and what the API says of itself."""
