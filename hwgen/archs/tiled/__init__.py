"""The tiled architecture: one engine for any network of its op set."""

from .top import TiledTop

__all__ = ["TiledTop"]
