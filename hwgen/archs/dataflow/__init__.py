"""The dataflow architecture: a unit for every layer, connected by streams."""
