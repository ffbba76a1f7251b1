"""Boards: one file each, with platform, accelerator and host link. None yet."""
