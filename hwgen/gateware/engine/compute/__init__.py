"""Tile units: the MAC array, and what feeds it."""
