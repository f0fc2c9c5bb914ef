"""Bodies of requests: how much of them is read and how long, their parts, and the photographs in them."""
