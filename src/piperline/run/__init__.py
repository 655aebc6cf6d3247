"""A run: its plan, its worker processes, its result."""
