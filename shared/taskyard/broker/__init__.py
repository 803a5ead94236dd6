"""The transport: Dramatiq's queues in Redis, wake-ups, live events. Everything in here may be lost at any
time.
"""
