"""The event model: the exact cycle of every beat, without data."""
