"""The development stack: PostgreSQL and Valkey out of wheels, and `taskyard up`. The tests use it too."""
