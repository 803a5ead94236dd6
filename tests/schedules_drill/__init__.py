"""Leaders that are killed and frozen at random while one-second schedules run: `make drill-schedules`."""
