"""Running tools: simulators and what they need."""
