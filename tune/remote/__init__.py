"""A study on another Ray: sent there as a job, watched and stopped from here, its results brought back."""
