"""The tiled engine: fetch, compute, memory and result."""
