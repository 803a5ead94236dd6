-- What tasks may know of the ledger: counts, and the names that they are counted by. {ledger} is the schema of the tables.
-- The functions run with the rights of their owner; all names are written out, and the search_path holds no schema in which
-- others may create anything. `queues` null: all of them. Each function reads `task` once.
CREATE SCHEMA taskyard_counts;

CREATE FUNCTION taskyard_counts.tasks(
    grouped text, beginning timestamptz, ending timestamptz, queues text[], most int
) RETURNS TABLE (
    name text, tasks bigint, succeeded bigint, failed bigint, cancelled bigint, unfinished bigint,
    mean_wait float8, late_wait float8, mean_run float8, late_run float8, groups bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE grouped WHEN 'queue' THEN t.queue ELSE t.name END AS grouped_by, count(*),
        count(*) FILTER (WHERE t.state = 'succeeded'),
        count(*) FILTER (WHERE t.state = 'failed'),
        count(*) FILTER (WHERE t.state = 'cancelled'),
        count(*) FILTER (WHERE t.finished_at IS NULL),
        avg(w.wait), percentile_cont(0.95) WITHIN GROUP (ORDER BY w.wait),
        avg(w.run), percentile_cont(0.95) WITHIN GROUP (ORDER BY w.run),
        count(*) OVER ()
    FROM {ledger}.task t CROSS JOIN LATERAL (SELECT
        CASE WHEN t.started_at IS NOT NULL THEN greatest(0, extract(epoch FROM t.started_at - t.run_at))::float8 END,
        CASE WHEN t.state = 'succeeded' THEN greatest(0, extract(epoch FROM t.finished_at - t.started_at))::float8 END
    ) AS w(wait, run)
    WHERE t.created_at >= beginning AND t.created_at < ending AND (queues IS NULL OR t.queue = ANY(queues))
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT most
$$;
COMMENT ON FUNCTION taskyard_counts.tasks IS 'tasks by type or queue that were submitted in a time, with seconds of their'
    ' latest attempts; late: the 95th percentile';

CREATE FUNCTION taskyard_counts.course(bounds timestamptz[], ending timestamptz, queues text[]) RETURNS TABLE (
    bucket int, succeeded bigint, failed bigint, cancelled bigint, unfinished bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT width_bucket(t.created_at, bounds) - 1,
        count(*) FILTER (WHERE t.state = 'succeeded'),
        count(*) FILTER (WHERE t.state = 'failed'),
        count(*) FILTER (WHERE t.state = 'cancelled'),
        count(*) FILTER (WHERE t.finished_at IS NULL)
    FROM {ledger}.task t
    WHERE t.created_at >= bounds[1] AND t.created_at < ending AND (queues IS NULL OR t.queue = ANY(queues))
    GROUP BY 1 ORDER BY 1
$$;
COMMENT ON FUNCTION taskyard_counts.course IS 'tasks by the time at which they were submitted; bounds: where buckets begin';

CREATE FUNCTION taskyard_counts.failures(
    beginning timestamptz, ending timestamptz, queues text[], most int
) RETURNS TABLE (name text, code text, tasks bigint, groups bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.name, left(coalesce(t.error ->> 'code', ''), 100), count(*), count(*) OVER () FROM {ledger}.task t
    WHERE t.state = 'failed' AND t.created_at >= beginning AND t.created_at < ending
        AND (queues IS NULL OR t.queue = ANY(queues))
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT most
$$;
COMMENT ON FUNCTION taskyard_counts.failures IS 'failed tasks that were submitted in a time, by type and code';

CREATE FUNCTION taskyard_counts.queues(queues text[], most int) RETURNS TABLE (
    name text, is_paused bool, queued bigint, later bigint, running bigint, oldest_seconds float8, groups bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT q.name, q.paused_at IS NOT NULL,
        count(*) FILTER (WHERE t.state = 'queued'),
        count(*) FILTER (WHERE t.state IN ('scheduled', 'retrying', 'blocked')),
        count(*) FILTER (WHERE t.state = 'running'),
        extract(epoch FROM now() - min(t.queued_at) FILTER (WHERE t.state = 'queued'))::float8,
        count(*) OVER ()
    FROM {ledger}.queue q LEFT JOIN {ledger}.task t ON t.queue = q.name AND t.finished_at IS NULL
    WHERE queues IS NULL OR q.name = ANY(queues)
    GROUP BY q.name ORDER BY 3 DESC, 1 LIMIT most
$$;
COMMENT ON FUNCTION taskyard_counts.queues IS 'queues as they are now';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA taskyard_counts FROM PUBLIC;
