"""Plans: an architecture as data, with its cycle and memory models."""
