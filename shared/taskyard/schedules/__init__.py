"""Schedules: triggers, and the verb that fires what is due."""
