"""The tiled architecture: one engine for any network of its op set."""
