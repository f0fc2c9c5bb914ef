"""What a node keeps between fits: feature maps, and a copy of the data."""
