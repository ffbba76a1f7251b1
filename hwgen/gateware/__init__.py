"""Amaranth components of accelerators. They know nothing of networks."""
