"""What a task is and may become. Pure: no I/O, no framework."""
