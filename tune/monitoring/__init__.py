"""A running study as others see it: progress, trackers, Prometheus, the log of a launch."""
