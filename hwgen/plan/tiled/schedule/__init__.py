"""Tiles in their order as a program of descriptors."""
