"""What the heartbeat of a worker `w` tells, for queries that show it."""

# Whether a running task `t` has begun. The claim makes it `running`, and its thread writes nothing when it begins:
# that would be one more write a task. A claim that waits for a thread is given back within a quarter of a second, so
# only for the first second the heartbeat is asked.
HAS_BEGUN = "coalesce(t.started_at < now() - interval '1 second' OR t.id = ANY(w.begun), false)"

# How many children live, those in quarantine left out. Before the first heartbeat: the most that it may start.
LIVING_CHILDREN = """coalesce(nullif((
    SELECT CAST(count(*) AS int4) FROM jsonb_array_elements(w.children) c
    WHERE c ->> 'state' IS DISTINCT FROM 'quarantine'
), 0), w.processes)"""
