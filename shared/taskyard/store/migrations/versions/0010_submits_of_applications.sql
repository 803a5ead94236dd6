-- The schema by which applications submit tasks in their own transactions. {ledger} is the schema of the tables.
-- All names are written out: the search_path of the functions holds no schema in which others may create anything.
-- It has another name than the usual role of the platform, which would find it before the tables ("$user").
-- The views are barriers: a cheap function in a WHERE of the caller's would otherwise be called with rows that they hide.
CREATE SCHEMA taskyard_sql;

CREATE VIEW taskyard_sql.task_type WITH (security_barrier) AS
SELECT t.name, t.version, t.digest, t.spec, (
    SELECT array_agg(DISTINCT q.queue)
    FROM {ledger}.worker w JOIN {ledger}.worker_type r ON r.worker_id = w.id CROSS JOIN LATERAL unnest(w.queues) AS q(queue)
    WHERE r.name = t.name AND r.version = t.version AND w.lost_at IS NULL AND w.stopped_at IS NULL
) AS queues
FROM {ledger}.task_type t WHERE t.retired_at IS NULL;
COMMENT ON VIEW taskyard_sql.task_type IS 'task types that admit tasks; queues: where live workers run them';

CREATE VIEW taskyard_sql.caller WITH (security_barrier) AS
SELECT session_user::text AS name,
    CASE WHEN NOT bool_or(s.queues IS NULL) THEN array_agg(DISTINCT q.queue) END AS queues,
    max(s.life_seconds) AS life_seconds
FROM {ledger}.submit_role s JOIN pg_catalog.pg_roles r ON r.rolname = s.role
LEFT JOIN LATERAL unnest(s.queues) AS q(queue) ON true
WHERE pg_has_role(session_user, r.oid, 'MEMBER')
    AND has_schema_privilege(r.oid, 'taskyard_sql', 'USAGE') -- not after it was dropped and made again
HAVING count(*) > 0;
COMMENT ON VIEW taskyard_sql.caller IS 'who is logged in, and the queues of its roles; null: all. No row: none is granted';

CREATE VIEW taskyard_sql.queue WITH (security_barrier) AS
SELECT q.name FROM {ledger}.queue q WHERE EXISTS (
    SELECT FROM taskyard_sql.caller c WHERE c.queues IS NULL OR q.name = ANY(c.queues)
);
COMMENT ON VIEW taskyard_sql.queue IS 'the queues to which the caller may submit';

CREATE FUNCTION taskyard_sql.refuse(pointer text, told text, code text DEFAULT 'invalid_request') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TY422', MESSAGE = told,
        DETAIL = json_build_object('pointer', pointer, 'code', code)::text;
END $$;

CREATE FUNCTION taskyard_sql.number_option(options jsonb, field text, lowest float8, highest float8, whole bool) RETURNS float8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given jsonb := nullif(options -> field, 'null');
    kind text := CASE WHEN whole THEN 'integer' ELSE 'number' END;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(given) <> 'number' OR whole AND given::numeric <> trunc(given::numeric) THEN
        PERFORM taskyard_sql.refuse('/' || field, format('`%s` must be a valid %s', field, kind));
    ELSIF given::numeric < lowest::numeric THEN
        PERFORM taskyard_sql.refuse('/' || field, format('`%s` must be greater than or equal to %s', field, lowest));
    ELSIF given::numeric > highest::numeric THEN
        PERFORM taskyard_sql.refuse('/' || field, format('`%s` must be less than or equal to %s', field, highest));
    END IF;
    RETURN round(given::numeric, 20)::float8; -- there are numbers too small for a float8
END $$;

-- PostgreSQL knows years that Python cannot read. No pattern here holds a backslash: what it means depends on a setting of
-- the caller's (standard_conforming_strings).
CREATE FUNCTION taskyard_sql.time_option(options jsonb, field text) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given text := options ->> field;
    made timestamptz;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    ELSIF given !~ '^[0-9]{4}(-[0-9]{2}){2}[Tt][0-9]{2}(:[0-9]{2}){2}([.][0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$' THEN
        PERFORM taskyard_sql.refuse('/' || field,
            format('`%s` must be a time as in RFC 3339, with its offset: 2026-01-31T12:00:00Z', field));
    END IF;
    BEGIN
        made := given::timestamptz;
    EXCEPTION WHEN data_exception THEN
        PERFORM taskyard_sql.refuse('/' || field, format('`%s` must be a valid time', field));
    END;
    IF made NOT BETWEEN '1970-01-02T00:00:00Z' AND '8999-12-30T00:00:00Z' THEN
        PERFORM taskyard_sql.refuse('/' || field, format('`%s` must lie in the years 1970 to 8999', field));
    END IF;
    RETURN made;
END $$;

CREATE FUNCTION taskyard_sql.readable(pointer text, given json) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN given::jsonb;
EXCEPTION
    WHEN untranslatable_character THEN
        PERFORM taskyard_sql.refuse(pointer, 'The NUL character cannot be stored.');
    WHEN numeric_value_out_of_range THEN
        PERFORM taskyard_sql.refuse(pointer, 'The number is out of range.');
    WHEN data_exception THEN
        PERFORM taskyard_sql.refuse(pointer, 'A lone surrogate is not text.');
END $$;

-- Level by level: what the API refuses and PostgreSQL would take. jsonb writes numbers in full: 1e131000, eight bytes here,
-- would be 128 KiB at each reading.
CREATE FUNCTION taskyard_sql.check_params(params json) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    read jsonb;
    levels int;
    huge bool;
    sealed bool;
BEGIN
    IF octet_length(params::text) > 262144 THEN
        PERFORM taskyard_sql.refuse('/params', 'All parameters together may be 262144 bytes of JSON at most, whatever each'
            ' of them may be; more belongs in a file.', 'params_too_large');
    END IF;
    read := taskyard_sql.readable('/params', params);
    IF read IS NULL OR jsonb_typeof(read) <> 'object' THEN
        PERFORM taskyard_sql.refuse('/params', 'Must be a JSON object.');
    END IF;
    WITH RECURSIVE node(value, depth) AS (
        SELECT read, 1
        UNION ALL
        SELECT inner_value, n.depth + 1 FROM node n CROSS JOIN LATERAL (
            SELECT e.value FROM jsonb_each(CASE jsonb_typeof(n.value) WHEN 'object' THEN n.value ELSE '{}' END) e
            UNION ALL
            SELECT a.value FROM jsonb_array_elements(CASE jsonb_typeof(n.value) WHEN 'array' THEN n.value ELSE '[]' END) a
        ) c(inner_value)
        WHERE n.depth <= 32
    )
    SELECT max(depth) FILTER (WHERE jsonb_typeof(value) IN ('object', 'array')),
        bool_or(CASE WHEN jsonb_typeof(value) = 'number' THEN
            abs(value::numeric) > 1.7976931348623157e308 OR scale(value::numeric) > 400 END),
        bool_or(CASE WHEN jsonb_typeof(value) = 'object' THEN value ? '$secret' AND value - '$secret' = '{}' END)
    INTO levels, huge, sealed FROM node;
    IF levels > 31 THEN -- the body around them is one more
        PERFORM taskyard_sql.refuse('/params', 'Nested deeper than 32 levels.');
    ELSIF huge THEN
        PERFORM taskyard_sql.refuse('/params', 'The number is out of range.');
    ELSIF sealed THEN
        PERFORM taskyard_sql.refuse('/params', '`$secret` is a name of the platform''s own: send the secret itself.');
    END IF;
    RETURN read;
END $$;

CREATE FUNCTION taskyard_sql.check_options(options jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    field text;
BEGIN
    IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        PERFORM taskyard_sql.refuse('', 'Must be a JSON object.');
    END IF;
    FOR field IN SELECT k FROM jsonb_object_keys(options) k ORDER BY k LOOP
        IF field = 'unique' THEN
            PERFORM taskyard_sql.refuse('/unique', 'A submit in a transaction takes no unique key: until its commit it would'
                ' hold up all other submits with keys. Submit this task over HTTP.', 'not_in_transaction');
        ELSIF field = 'id' THEN
            PERFORM taskyard_sql.refuse('/id', 'A submit in a transaction takes no id: until its commit it would hold up'
                ' others with the same one. The answer has the id.', 'not_in_transaction');
        ELSIF field IN ('callback_url', 'callback_on') THEN
            PERFORM taskyard_sql.refuse('/' || field, 'A submit in a transaction takes no callback: webhook endpoints belong'
                ' to API keys. Submit this task over HTTP.', 'not_in_transaction');
        ELSIF field NOT IN ('queue', 'delay_seconds', 'run_at', 'expires_at', 'max_attempts', 'soft_timeout_seconds',
                'hard_timeout_seconds', 'tags', 'on_cancel', 'request_id', 'traceparent', 'version') THEN
            PERFORM taskyard_sql.refuse('/' || left(field, 100), format('There is no field `%s`.', left(field, 100)));
        ELSIF field IN ('queue', 'on_cancel', 'request_id', 'traceparent', 'run_at', 'expires_at')
                AND jsonb_typeof(options -> field) NOT IN ('string', 'null') THEN
            PERFORM taskyard_sql.refuse('/' || field, format('`%s` must be a valid string', field));
        END IF;
    END LOOP;
    IF options ->> 'request_id' !~ '^[ -~]{1,128}$' THEN
        PERFORM taskyard_sql.refuse('/request_id', '`request_id` must have 1 to 128 printable characters of ASCII');
    ELSIF options ->> 'traceparent' !~ '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' THEN
        PERFORM taskyard_sql.refuse('/traceparent', '`traceparent` must be as W3C Trace Context has it');
    END IF;
    IF options ->> 'on_cancel' NOT IN ('cancel_children', 'leave_children') THEN
        PERFORM taskyard_sql.refuse('/on_cancel', '`on_cancel` must be ''cancel_children'' or ''leave_children''');
    ELSIF options ? 'tags' THEN
        IF jsonb_typeof(options -> 'tags') <> 'array' THEN
            PERFORM taskyard_sql.refuse('/tags', '`tags` must be a valid list');
        ELSIF jsonb_array_length(options -> 'tags') > 20 THEN
            PERFORM taskyard_sql.refuse('/tags', '`tags` must have at most 20 items');
        ELSIF EXISTS (SELECT FROM jsonb_array_elements(options -> 'tags') t
                WHERE jsonb_typeof(t) <> 'string' OR length(t #>> '{}') NOT BETWEEN 1 AND 64) THEN
            PERFORM taskyard_sql.refuse('/tags', 'Entries of `tags` must have 1 to 64 characters');
        END IF;
    END IF;
END $$;

-- The one that applications call. A refusal raises, with what is wrong in DETAIL as JSON: a caller that did not look at
-- a fault in an answer would commit its own rows without the task.
CREATE FUNCTION taskyard_sql.submit(task_name text, params json DEFAULT '{}', options json DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    called timestamptz := clock_timestamp();
    given jsonb;
    by_whom record;
    type record;
    asked_version int;
    wanted text;
    values_of jsonb := taskyard_sql.check_params(coalesce(params, '{}'));
    attempts int;
    soft float8;
    hard float8;
    delay float8;
    due timestamptz;
    expires timestamptz;
    made uuid;
BEGIN
    IF octet_length(options::text) > 65536 THEN
        PERFORM taskyard_sql.refuse('', 'All options together may be 65536 bytes of JSON at most.');
    END IF;
    given := jsonb_strip_nulls(taskyard_sql.readable('', coalesce(options, '{}')));
    PERFORM taskyard_sql.check_options(given);
    SELECT * INTO by_whom FROM taskyard_sql.caller;
    IF NOT FOUND THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the role %s may not submit tasks: taskyard-api roles grant', session_user);
    END IF;

    asked_version := taskyard_sql.number_option(given, 'version', 1, 32767, true);
    SELECT t.version, t.spec, t.queues, (t.spec ->> 'queue') AS queue INTO type FROM taskyard_sql.task_type t
    WHERE t.name = task_name AND t.version = coalesce(asked_version, t.version)
    ORDER BY t.queues IS NULL, t.version DESC LIMIT 1;
    IF task_name = 'webhooks.deliver' THEN
        PERFORM taskyard_sql.refuse('/name', 'The platform itself submits tasks of this type.', 'reserved_task_type');
    ELSIF type IS NULL OR task_name IS NULL THEN
        PERFORM taskyard_sql.refuse('/name', format('There is no task type %s. GET /api/v1/task-types lists all of them.',
            quote_literal(left(task_name, 100))), 'unknown_task_type');
    ELSIF type.spec -> 'params' @? '$.** ? (@.writeOnly == true || @.format == "password")' THEN
        PERFORM taskyard_sql.refuse('/name', 'Tasks of this type have secret parameters, and an application has no key to'
            ' encrypt them: submit this task over HTTP.', 'not_in_transaction');
    END IF;

    wanted := coalesce(given ->> 'queue', type.queue);
    IF NOT wanted = ANY(coalesce(by_whom.queues, ARRAY[wanted])) THEN
        PERFORM taskyard_sql.refuse('/queue', format('This caller may not submit to the queue %s.',
            quote_literal(left(wanted, 64))), 'queue_not_allowed');
    ELSIF given ? 'queue' AND NOT EXISTS (SELECT FROM taskyard_sql.queue q WHERE q.name = wanted) THEN
        PERFORM taskyard_sql.refuse('/queue', format('There is no queue %s. A queue exists once a worker serves it'
            ' (`taskyard-worker run --queues`).', quote_literal(left(wanted, 64))), 'unknown_queue');
    ELSIF wanted <> type.queue AND NOT wanted = ANY(type.queues) THEN
        PERFORM taskyard_sql.refuse('/queue', format('No worker runs this task type on this queue. These queues serve it: %s.',
            coalesce((SELECT string_agg(q, ', ' ORDER BY q) FROM unnest(type.queues) q
                WHERE q = ANY(coalesce(by_whom.queues, type.queues))), 'none of yours')), 'queue_not_served');
    END IF;

    delay := taskyard_sql.number_option(given, 'delay_seconds', 0, 31536000, false);
    due := taskyard_sql.time_option(given, 'run_at');
    IF due IS NOT NULL AND delay IS NOT NULL THEN
        PERFORM taskyard_sql.refuse('/run_at', 'Give run_at or delay_seconds, not both.');
    ELSIF due > called + interval '365 days' THEN
        PERFORM taskyard_sql.refuse('/run_at', 'Lies more than a year ahead; a year is the most.');
    ELSIF due < called - interval '365 days' THEN
        PERFORM taskyard_sql.refuse('/run_at', 'Lies more than a year in the past. What is to run at once needs no run_at.');
    END IF;
    due := coalesce(due, called + delay * interval '1 second', called);
    expires := taskyard_sql.time_option(given, 'expires_at');
    IF expires <= greatest(due, called) THEN
        PERFORM taskyard_sql.refuse('/expires_at', 'Must be later than now and than the time it is due.');
    ELSIF expires > called + interval '730 days' THEN
        PERFORM taskyard_sql.refuse('/expires_at', 'Lies more than two years ahead; two years are the most.');
    END IF;
    attempts := taskyard_sql.number_option(given, 'max_attempts', 1, 100, true);
    hard := coalesce(taskyard_sql.number_option(given, 'hard_timeout_seconds', 1, 604800, false),
        (type.spec ->> 'hard_timeout_seconds')::float8);
    soft := taskyard_sql.number_option(given, 'soft_timeout_seconds', 1, 604800, false);
    IF soft > hard THEN
        PERFORM taskyard_sql.refuse('/soft_timeout_seconds', format('Must not be above the hard limit, %s seconds.', hard));
    END IF;

    -- UUIDv7 (RFC 9562): ids sort by the time they were made.
    made := encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((extract(epoch FROM called) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;
    INSERT INTO {ledger}.task (id, name, queue, params, version, max_attempts, soft_timeout_seconds,
        hard_timeout_seconds, tags, on_cancel, request_id, traceparent, submitted_by, allowed_queues, created_at, state,
        run_at, due_at, queued_at, publication, expires_at)
    VALUES (made, task_name, wanted, values_of, type.version,
        coalesce(attempts, (type.spec #>> '{retry,max_attempts}')::int),
        coalesce(soft, least((type.spec ->> 'soft_timeout_seconds')::float8, hard)), hard,
        ARRAY(SELECT t FROM jsonb_array_elements_text(coalesce(given -> 'tags', '[]')) WITH ORDINALITY x(t, n)
            GROUP BY t ORDER BY min(n)),
        coalesce(given ->> 'on_cancel', 'cancel_children'), given ->> 'request_id', given ->> 'traceparent',
        'role:' || by_whom.name, by_whom.queues, called, CASE WHEN due > called THEN 'scheduled' ELSE 'queued' END,
        due, CASE WHEN due > called THEN due END, CASE WHEN due <= called THEN called END,
        CASE WHEN due > called THEN 0 ELSE 1 END,
        coalesce(expires, due + by_whom.life_seconds * interval '1 second'));
    INSERT INTO {ledger}.application_outbox (xid, task_id, created_at)
    VALUES (pg_current_xact_id()::text::bigint, made, called);
    -- Sent at the commit, once for all submits of the transaction. It is also why PostgreSQL refuses PREPARE TRANSACTION.
    PERFORM pg_notify('taskyard_submits', '');
    RETURN made;
END $$;
COMMENT ON FUNCTION taskyard_sql.submit IS 'submits a task in the transaction of the caller; answers its id';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA taskyard_sql FROM PUBLIC;
