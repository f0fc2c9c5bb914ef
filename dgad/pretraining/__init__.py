"""Pretraining: the weights that ship with dgad, learnt from procedural surfaces alone."""
