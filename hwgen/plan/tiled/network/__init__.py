"""A legal graph as tasks of the engine: what is stored, what is taken along."""
