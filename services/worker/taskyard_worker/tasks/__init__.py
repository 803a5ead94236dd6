"""What the built-in task types do."""
