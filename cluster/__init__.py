"""Where a study runs: for now Ray embedded in this process."""
