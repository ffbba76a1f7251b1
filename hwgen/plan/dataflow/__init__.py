"""Planning the dataflow architecture: a unit for every layer."""
