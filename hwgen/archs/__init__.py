"""Architectures: how a plan becomes a top component."""
