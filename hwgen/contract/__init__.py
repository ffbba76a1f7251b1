"""What plan and gateware both state: window geometry, the engine's shape, its instruction set."""
