"""The transport: Dramatiq's queues in Redis, wake-ups, live events. All of it may be lost at any time."""
