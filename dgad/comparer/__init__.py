"""The paper's comparer: pair scores, co-attention, losses, and the network that joins them."""
