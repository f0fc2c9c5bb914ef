"""Feature maps of images: the backbone, its weights, and the cache of frozen features."""
