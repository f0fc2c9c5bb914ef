"""Serving bundles over HTTP. So far: checking that a bundle can be served."""
