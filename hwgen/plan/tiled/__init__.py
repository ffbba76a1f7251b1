"""The tiled architecture: one MAC array for the whole network, walked by descriptors."""
