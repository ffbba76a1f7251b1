"""Portable C99 of a network: one source and one header, no libc, no memory of its own.

It computes what the golden model computes, bit for bit, from the same graph, and shares no
arithmetic with it: a product by itself, a second opinion, and a fast one.
"""

from __future__ import annotations

from .program import c_files

__all__ = ["c_files"]
