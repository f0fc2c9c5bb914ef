"""Networks that reconstruct normal images: encoders, decoders, two kinds of memory, losses, distances."""
