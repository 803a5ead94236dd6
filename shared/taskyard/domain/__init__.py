"""Tasks, their states and rules. Pure: no I/O, no framework."""
