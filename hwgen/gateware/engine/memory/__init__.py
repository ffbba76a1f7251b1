"""Feature maps on chip, and their way from and to external memory."""
