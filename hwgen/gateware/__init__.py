"""Amaranth components with typed streams. They know nothing of networks."""
