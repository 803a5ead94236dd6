"""Admission: a wish becomes a task, or a list of what is wrong with it. One for all callers."""
