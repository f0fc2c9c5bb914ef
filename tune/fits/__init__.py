"""Fits and their records: made once each, by whoever holds the lease, and shared by address."""
