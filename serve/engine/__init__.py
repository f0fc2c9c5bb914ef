"""The engine of a service, without Ray and HTTP: scoring, batching, states, drift, writing to the store."""
