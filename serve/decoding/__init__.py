"""Photographs that nobody vouches for, decoded in processes of their own that may be killed.

A file decides how much work and memory its decoding takes, and in a thread a decoder cannot be interrupted.
"""
