"""The development stack: PostgreSQL and Valkey from wheels, and `taskyard up`. The tests use it, too."""
