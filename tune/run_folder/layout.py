"""Names of what a runs folder holds besides its studies."""

SHARED_FOLDER = ".shared"
"""Fits and records by content address, for every study of the folder."""
