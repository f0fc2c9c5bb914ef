"""The folder of a run: what its files are called, who writes them, and where it lies."""
