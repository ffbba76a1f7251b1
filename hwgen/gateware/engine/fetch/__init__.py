"""Programs of descriptors: read ahead, checked, given to their units."""
