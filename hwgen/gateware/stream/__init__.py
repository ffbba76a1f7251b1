"""Units of the dataflow architecture, connected by streams."""
