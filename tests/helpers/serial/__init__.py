"""A third architecture: one multiplier, one dense layer. It stands for any that may come."""
