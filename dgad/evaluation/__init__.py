"""Evaluation: scoring a held-out domain, metrics with their uncertainty, heatmaps and regions."""
