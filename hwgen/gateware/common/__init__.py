"""What units of both architectures are made of: queues, memories, multipliers, counters."""
