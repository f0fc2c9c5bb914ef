"""Calibration: scores of normal images left out of their references, and the thresholds they support."""
