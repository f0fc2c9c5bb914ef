"""Training: the loop that methods call, episodes, augmentation, halves of domains."""
