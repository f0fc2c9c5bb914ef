"""Data sets as domains of samples: adapters, checks, safe decoding, synthetic textures."""
