"""`taskyard doctor`: sends a task through every part of an installation, and names the part that is slow or broken."""
