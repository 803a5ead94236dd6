"""Why a task is where it is: each state has its reason, in words and as a code, and nobody is told of others' tasks."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from taskyard.domain.tasks import Released, RetryIn, Succeeded
from taskyard.lifecycle.claim import CONDITIONS
from taskyard.lifecycle.put_off import put_off
from taskyard_api import answers, explanations, health
from taskyard_api.explanation_answers import Code, Explanation
from tests.integration.api.conftest import Api
from tests.integration.api.worker import FAULT, Worker
from tests.support.specs import register_worker, spec_named

# Six attempts of the minute before this one.
ENDED = """
INSERT INTO task_count (span, at, queue, name, succeeded, runs, waits)
VALUES ('hour', date_trunc('minute', now()) - interval '1 minute', 'default', 'diagnostics.echo', 6, '{}', '{}')
"""


def explained(api: Api, task: str, **headers: str) -> dict[str, Any]:
    answer = api.http.get(f"/api/v1/tasks/{task}/explain", headers=headers)
    assert answer.status_code == 200, answer.text
    Explanation.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    assert found["summary"] == found["reasons"][0]["message"]
    return found


def codes(found: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in found["reasons"]]


def execute(api: Api, sql: str, **values: Any) -> None:
    with api.engine.connect() as conn:
        conn.execute(sa.text(sql), values)


def a_scheduler_leads(api: Api) -> None:
    execute(
        api,
        "INSERT INTO leader (name, holder, holder_name, epoch, expires_at)"
        " VALUES ('test', :holder, 'h', 1, now() + interval '1 minute')",
        holder=uuid4(),
    )


def workers_are_gone(api: Api) -> None:
    execute(api, "UPDATE worker SET stopped_at = now()")


def test_a_task_that_only_waits_for_its_turn_has_a_place_in_its_queue_and_an_estimate(api: Api) -> None:
    first, second = api.submit()["id"], api.submit()["id"]
    found = explained(api, second)
    assert (codes(found), found["position"]) == (["in_line"], 2)
    assert "estimate_seconds" not in found, "nothing has ended in the last minutes"
    execute(api, ENDED)
    found = explained(api, second)
    assert 20 <= found["estimate_seconds"] <= 40, "six in one to two minutes, and two to go"
    [told] = re.findall(r"in about (\d+) s", found["summary"])
    assert abs(int(told) - found["estimate_seconds"]) < 1
    assert explained(api, first)["position"] == 1


def test_no_place_is_told_beyond_the_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("taskyard.lifecycle.explanation", "taskyard_api.explanations"):
        monkeypatch.setattr(f"{module}.MOST_AHEAD", 2)
    tasks = [api.submit()["id"] for _ in range(4)]
    assert explained(api, tasks[2])["position"] == 3
    last = explained(api, tasks[3])
    assert "position" not in last
    assert last["summary"] == "It waits for its turn in the queue default, where more than 2 tasks wait."


def test_tasks_that_wait_for_a_limit_are_not_before_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = {"key": "crm", "concurrent": 1}
    held = [limited(api, limits=crm) for _ in range(3)]
    execute(api, "UPDATE task SET limited = 'granted' WHERE id = :id", id=held[0])
    free = api.submit()["id"]
    held.append(limited(api, limits=crm))
    execute(api, ENDED)
    found = explained(api, free)
    assert (codes(found), found["position"]) == (["in_line"], 2), "only the one with a grant is before it"
    assert 20 <= found["estimate_seconds"] <= 40
    monkeypatch.setattr("taskyard.lifecycle.explanation.MOST_AHEAD", 2)
    found = explained(api, free)
    assert "position" not in found
    assert "estimate_seconds" not in found


def test_a_queue_without_a_live_worker_that_could_run_it_is_told_apart_by_what_is_missing(api: Api) -> None:
    task = api.submit()["id"]
    workers_are_gone(api)
    assert codes(explained(api, task)) == ["no_worker"]
    drained = register_worker(api.engine, spec_named("diagnostics.echo"))
    execute(api, "UPDATE worker SET state = 'draining' WHERE id = :id", id=drained)
    assert codes(explained(api, task)) == ["workers_drain"]
    register_worker(api.engine, spec_named("tests.another"))
    found = explained(api, task)
    assert (codes(found), found["reasons"][0]["workers"]) == (["unknown_type"], 1)
    register_worker(api.engine, spec_named("diagnostics.echo"))
    assert codes(explained(api, task)) == ["in_line"]
    execute(api, "UPDATE task SET version = 7")
    found = explained(api, task)
    assert (codes(found), found["reasons"][0]["version"], found["reasons"][0]["newest_version"]) == (
        ["older_version"],
        7,
        1,
    )
    assert "position" not in found


def test_everything_that_keeps_a_task_is_told_and_not_only_the_first(api: Api) -> None:
    task = api.submit()["id"]
    workers_are_gone(api)
    execute(api, "UPDATE queue SET paused_at = now() WHERE name = 'default'")
    execute(api, "UPDATE task SET crashes = 1, expires_at = now() - interval '1 second'")
    execute(
        api,
        "INSERT INTO outbox (id, task_ids, created_at) OVERRIDING SYSTEM VALUE"
        " VALUES (0, '{}', now() - interval '1 minute')",
    )
    found = explained(api, task)
    assert codes(found) == ["paused", "no_worker", "apart", "expired", "no_scheduler", "unpublished"]
    seen = api.client(api.key("read", queues=["default"])).get(f"/api/v1/tasks/{task}/explain").json()
    assert codes(seen) == codes(found)
    assert seen["reasons"][-1]["since"] > found["reasons"][-1]["since"], (
        "not when a task of another queue was submitted"
    )
    assert re.fullmatch(r"The queue default has been paused since \d{4}-.*Z\.", found["summary"])


def test_a_task_that_is_published_is_not_said_to_be_behind(api: Api) -> None:
    task = api.submit()["id"]
    execute(api, "INSERT INTO outbox (id, task_ids) OVERRIDING SYSTEM VALUE VALUES (0, '{}')")
    assert codes(explained(api, task)) == ["in_line"], "whoever committed it has ten seconds"
    execute(api, "UPDATE outbox SET created_at = now() - interval '1 minute'")
    execute(api, "UPDATE task SET queued_at = now() - interval '2 minutes'")
    assert codes(explained(api, task)) == ["in_line"], "it was queued before the oldest that waits"


def test_while_redis_takes_nothing_a_task_is_said_to_be_behind_at_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = api.submit()["id"]
    execute(
        api, "INSERT INTO outbox (id, task_ids, created_at) OVERRIDING SYSTEM VALUE SELECT 0, '{}', queued_at FROM task"
    )
    assert codes(explained(api, task)) == ["in_line"], "it is only on its way"
    monkeypatch.setattr(health, "is_full", lambda memory: True)
    assert codes(explained(api, task)) == ["unpublished", "no_scheduler"]
    monkeypatch.undo()
    a_scheduler_leads(api)
    execute(api, "UPDATE leader SET broker_lost_at = now()")
    assert codes(explained(api, task)) == ["unpublished"]
    execute(api, "DELETE FROM outbox")
    assert codes(explained(api, task)) == ["in_line"], "it was published before Redis went"


def test_a_task_for_later_says_when(api: Api) -> None:
    task = api.submit(delay_seconds=3600)["id"]
    found = explained(api, task)
    assert codes(found) == ["scheduled"]
    assert 3590 <= found["reasons"][0]["in_seconds"] <= 3600
    execute(api, "UPDATE task SET due_at = now() - interval '1 second'")
    assert codes(explained(api, task)) == ["no_scheduler"]
    a_scheduler_leads(api)
    assert codes(explained(api, task)) == ["due"]


def test_what_only_the_scheduler_ends_says_that_none_leads(api: Api) -> None:
    task, due = api.submit()["id"], api.submit(delay_seconds=3600)["id"]
    execute(api, "UPDATE task SET expires_at = now() - interval '1 second'")
    execute(api, "UPDATE task SET due_at = now() WHERE id = :id", id=due)
    assert codes(explained(api, task)) == ["expired", "no_scheduler"]
    assert codes(explained(api, due)) == ["no_scheduler", "expired"], "told once"
    a_scheduler_leads(api)
    assert codes(explained(api, task)) == ["expired"]
    assert codes(explained(api, due)) == ["due", "expired"]


@pytest.mark.parametrize(("reason", "says"), [("unknown_task_type", "did not know"), ("slowed", "too often")])
def test_a_task_that_a_worker_put_off_says_why(api: Api, reason: str, says: str) -> None:
    task = api.submit()["id"]
    with api.engine.connect() as conn:
        put_off(conn, [task], reason=reason)
    found = explained(api, task)
    assert codes(found) == ["put_off"]
    assert says in found["summary"]


def test_of_a_task_that_no_worker_knows_the_cause_stands_before_what_follows_from_it(api: Api) -> None:
    unknown = api.submit()["id"]
    newer = api.submit()["id"]
    execute(api, "UPDATE task SET version = 2 WHERE id = :id", id=newer)
    execute(api, "UPDATE task SET name = 'own.unknown' WHERE id = :id", id=unknown)
    with api.engine.connect() as conn:
        put_off(conn, [unknown, newer], reason="unknown_task_type")
    execute(api, "UPDATE queue SET paused_at = now() WHERE name = 'default'")
    assert codes(explained(api, unknown)) == ["unknown_type", "put_off", "paused"]
    assert codes(explained(api, newer)) == ["older_version", "put_off", "paused"]


def test_a_step_names_the_steps_that_it_waits_for(api: Api) -> None:
    echo = {"name": "diagnostics.echo", "params": {"value": 1}}
    steps = {"one": echo, "two": {**echo, "queue": "low_priority"}, "last": {**echo, "needs": ["one", "two"]}}
    flow = api.http.post("/api/v1/workflows", json={"steps": steps}).json()
    by_name = {step["name"]: step["task_id"] for step in flow["steps"]}
    found = explained(api, by_name["last"])
    assert codes(found) == ["steps"]
    assert {step["step"] for step in found["reasons"][0]["steps"]} == {"one", "two"}
    worker = Worker(api.engine)
    worker.begin(by_name["one"])
    worker.end(by_name["one"])
    assert explained(api, by_name["last"])["summary"] == "It waits for steps of its workflow: two (queued)."
    told = explained(api, by_name["last"], **{"Accept-Language": "de"})["summary"]
    assert told == "Sie wartet auf Schritte ihres Workflows: two (eingereiht)."


def test_a_key_of_some_queues_is_told_nothing_of_tasks_in_others(api: Api) -> None:
    echo = {"name": "diagnostics.echo", "params": {"value": 1}}
    steps = {"hidden": {**echo, "queue": "low_priority"}, "seen": {**echo, "needs": ["hidden"]}}
    flow = api.http.post("/api/v1/workflows", json={"steps": steps}).json()
    by_name = {step["name"]: step["task_id"] for step in flow["steps"]}
    client = api.client(api.key("read", queues=["default"]))
    answer = client.get(f"/api/v1/tasks/{by_name['seen']}/explain")
    assert answer.json()["summary"] == "It waits for other steps of its workflow."
    assert "hidden" not in answer.text
    assert by_name["hidden"] not in answer.text
    assert client.get(f"/api/v1/tasks/{by_name['hidden']}/explain").status_code == 404


def test_a_running_task_says_since_when_where_and_until_when(api: Api) -> None:
    worker, task = Worker(api.engine), api.submit()["id"]
    worker.begin(task)
    worker.progress(task, 1, 4, "halfway")
    found = explained(api, task)
    assert codes(found) == ["running", "progress"]
    running, progress = found["reasons"]
    assert running["worker"] == "w:0"
    assert running["soft_limit_at"] < running["hard_limit_at"]
    assert (progress["percent"], progress["message"]) == (25, "It reports 25 %: halfway")
    api.http.post(f"/api/v1/tasks/{task}/cancel")
    execute(api, "UPDATE worker SET beat_at = now() - interval '1 hour'")
    assert codes(explained(api, task)) == ["worker_silent", "no_scheduler", "cancelling", "running", "progress"]


def test_a_task_runs_once_its_worker_lists_it_or_has_had_it_for_a_second(api: Api) -> None:
    worker = Worker(api.engine)
    listed, late = (str(api.submit()["id"]) for _ in range(2))
    for task in (listed, late):
        worker.begin(task)
        execute(api, "UPDATE task SET started_at = now() + interval '1 hour' WHERE id = :id", id=task)
        found = explained(api, task)
        assert codes(found) == ["claimed"]
        assert found["summary"].startswith("It was given to w:0 at ")
    execute(api, "UPDATE worker SET begun = ARRAY[CAST(:id AS uuid)]", id=listed)
    execute(api, "UPDATE task SET started_at = now() - interval '2 s' WHERE id = :id", id=late)
    assert [codes(explained(api, task)) for task in (listed, late)] == [["running"], ["running"]]


def test_a_task_that_has_ended_says_how(api: Api) -> None:
    worker = Worker(api.engine)
    done, part, failed, gone = (str(api.submit()["id"]) for _ in range(4))
    for task in (done, part, failed):
        worker.begin(task)
    worker.end(done)
    worker.end(part, Succeeded({"value": 1}, partial=True))
    execute(api, "UPDATE task SET max_attempts = 1 WHERE id = :id", id=failed)
    worker.fail(failed)
    api.http.post(f"/api/v1/tasks/{gone}/cancel")
    assert [codes(explained(api, task)) for task in (done, part, failed, gone)] == [
        ["succeeded"],
        ["succeeded", "partial"],
        ["failed"],
        ["cancelled"],
    ]
    found = explained(api, failed)
    assert found["summary"].endswith(": It went wrong.")
    assert found["reasons"][0]["error_code"] == "boom"
    api.http.post("/api/v1/dead-letters/discard", json={"ids": [failed]})
    assert codes(explained(api, failed)) == ["failed", "discarded"]


def test_attempts_are_told_in_words(api: Api) -> None:
    worker, task = Worker(api.engine), api.submit()["id"]
    worker.begin(task)
    worker.end(task, Released("the worker stops"))
    worker.begin(task)
    worker.crash(task)
    worker.begin(task)
    worker.end(task, RetryIn(FAULT, timedelta(minutes=1)))
    found = explained(api, task)
    assert codes(found) == ["retrying", "apart"]
    assert "1 of its" in found["summary"]
    assert [(a["outcome"], a["message"]) for a in found["attempts"]] == [
        ("released", "Its worker gave it back: the worker stops."),
        ("crashed", "The process that ran it ended: killed by signal 9 (SIGKILL)."),
        ("retrying", f"It failed and is tried again at {found['reasons'][0]['due_at'][:19]}Z: It went wrong."),
    ]
    execute(api, "UPDATE task SET state = 'queued', due_at = NULL")
    assert explained(api, task)["attempts"][-1]["message"] == "It failed and was tried again: It went wrong."
    assert "Traceback" not in str(found)


def test_the_words_are_those_of_the_readers_language_and_the_codes_are_not(api: Api) -> None:
    task = api.submit(delay_seconds=60)["id"]
    answer = api.http.get(f"/api/v1/tasks/{task}/explain", headers={"Accept-Language": "hu"})
    assert answer.headers["Content-Language"] == "hu"
    assert "esedékes" in answer.json()["summary"]
    assert answer.json()["reasons"][0]["code"] == "scheduled"


def test_what_is_not_there_or_not_yours_is_not_found(api: Api) -> None:
    for task in (str(uuid4()), "1", "%00"):
        assert api.http.get(f"/api/v1/tasks/{task}/explain").status_code == 404


def test_every_condition_of_a_claim_has_its_words() -> None:
    told = explanations.TOLD.keys() | explanations.OF_ONE_WORKER | {explanations.LIMITED}
    assert CONDITIONS.keys() == told
    assert {"in_line", "limited"} <= set(Code)


def test_a_task_that_was_published_before_its_queue_had_a_limit_waits_for_that(api: Api) -> None:
    first, second = api.submit()["id"], api.submit()["id"]
    Worker(api.engine).begin(first)
    api.http.patch("/api/v1/queues/default", json={"concurrent": 1})
    (reason,) = [r for r in explained(api, second)["reasons"] if r["code"] != "no_scheduler"]
    assert (reason["code"], reason["queue"], reason["concurrent"]) == ("limited", "default", 1)
    assert [holder["task_id"] for holder in reason["holders"]] == [first]


def test_a_limit_that_was_taken_away_is_told_until_the_leader_has_seen_it(api: Api) -> None:
    task = limited(api, limits={"key": "crm", "concurrent": 1})
    execute(api, "UPDATE task SET limits = NULL WHERE id = :id", id=task)
    assert codes(explained(api, task)) == ["limited", "no_scheduler"]


def test_nothing_is_said_to_happen_soon_that_waits_for_a_scheduler(api: Api) -> None:
    expired, silent = api.submit()["id"], api.submit()["id"]
    fresh = limited(api, limits={"key": "erp", "concurrent": 2})
    execute(api, "UPDATE task SET expires_at = now() - interval '1 second' WHERE id = :id", id=expired)
    Worker(api.engine).begin(silent)
    execute(api, "UPDATE worker SET beat_at = now() - interval '1 day'")
    said = [explained(api, task)["reasons"] for task in (expired, silent, fresh)]
    texts = [r["message"] for reasons in said for r in reasons if r["code"] in {"expired", "worker_silent", "limited"}]
    assert len(texts) == 3
    assert all("a scheduler has to" in text.lower() for text in texts), texts


def test_a_limit_in_a_paused_queue_is_looked_at_once_it_is_resumed(api: Api) -> None:
    a_scheduler_leads(api)
    fresh = limited(api, limits={"key": "erp", "concurrent": 2})
    execute(api, "UPDATE queue SET paused_at = now() WHERE name = 'default'")
    text = "Once its queue is resumed, the scheduler sees whether its limit erp has room for it."
    assert text in [reason["message"] for reason in explained(api, fresh)["reasons"]]


def limited(api: Api, **more: Any) -> str:
    body = {"name": "diagnostics.echo", "params": {"value": 1}, **more}
    answer = api.http.post("/api/v1/tasks", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_a_limit_is_named_with_those_who_hold_it(api: Api) -> None:
    crm = {"key": "crm", "concurrent": 1}
    first, second = limited(api, limits=crm), limited(api, limits=crm)
    execute(api, "UPDATE task SET limited = 'granted' WHERE id = :id", id=first)
    (reason, *_) = explained(api, second)["reasons"]
    assert (reason["code"], reason["key"], reason["concurrent"]) == ("limited", "crm", 1)
    (holder,) = reason["holders"]
    assert (holder["task_id"], holder["name"], holder["state"]) == (first, "diagnostics.echo", "queued")
    assert (reason["held"], datetime.fromisoformat(holder["since"]) <= datetime.now(UTC)) == (1, True)
    assert "limited" not in codes(explained(api, first))


def test_a_task_that_waits_for_a_key_has_a_place_among_those_of_its_queue_that_do(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = {"key": "crm", "concurrent": 1}
    first, *waiting = [limited(api, limits=crm) for _ in range(4)]
    limited(api, limits={"key": "erp", "concurrent": 1})
    execute(api, "UPDATE task SET limited = 'granted' WHERE id = :id", id=first)
    execute(api, "UPDATE task SET queue = 'high_priority' WHERE id = :id", id=waiting[0])
    found = [explained(api, task) for task in waiting]
    assert [f["reasons"][0]["position"] for f in found] == [1, 1, 2], "another queue of the key has a row of its own"
    assert found[2]["summary"] == (
        "It waits for its limit crm, which other tasks use up. Of those of its queue that wait for it, it is number 2."
    )
    assert "position" not in found[2], "of the queue it has none"
    monkeypatch.setattr("taskyard.lifecycle.explanation.MOST_AHEAD", 0)
    assert "position" not in explained(api, waiting[2])["reasons"][0]
    assert explained(api, waiting[2])["summary"] == "It waits for its limit crm, which other tasks use up."


def test_where_a_rate_is_kept_the_earliest_time_is_told(api: Api) -> None:
    slow = {"key": "crm", "per_second": 0.1}
    waiting = [limited(api, limits=slow) for _ in range(3)]
    told = [explained(api, task)["reasons"][0]["earliest_in_seconds"] for task in waiting]
    assert told == [0.0, 10.0, 20.0]
    execute(api, "INSERT INTO limit_pace (name, last_at) VALUES ('task:crm', now() - interval '4 seconds')")
    found = explained(api, waiting[2])
    assert 24 <= found["reasons"][0]["earliest_in_seconds"] <= 26
    assert found["summary"].startswith("Its limit crm lets 0.1 tasks a second begin. Of those of its queue")
    assert "it is number 3: its turn comes in 2" in found["summary"]


def test_a_limit_of_a_queue_is_told_apart(api: Api) -> None:
    running = limited(api)
    execute(api, "UPDATE task SET limited = 'granted' WHERE id = :id", id=running)
    execute(api, "UPDATE queue SET concurrent = 1 WHERE name = 'default'")
    waiting = limited(api, limits={"key": "free", "concurrent": 5})
    (reason, *_) = explained(api, waiting)["reasons"]
    held_by = [holder["task_id"] for holder in reason["holders"]]
    assert (reason["code"], reason["queue"], held_by, reason["held"]) == ("limited", "default", [running], 1)
    assert "key" not in reason


def test_a_task_shows_its_limit(api: Api) -> None:
    given = {"key": "crm", "concurrent": 2, "per_second": 0.5}
    answer = api.http.get(f"/api/v1/tasks/{limited(api, limits=given)}")
    answers.Task.model_validate_json(answer.content)
    assert answer.json()["limits"] == given


def test_a_limit_that_no_task_uses_up_is_not_said_to_be_used_up(api: Api) -> None:
    """Its rate is kept, or the leader has yet to look."""
    a_scheduler_leads(api)
    rated = limited(api, limits={"key": "crm", "per_second": 0.5})
    fresh = limited(api, limits={"key": "erp", "concurrent": 2})
    full = limited(api, limits={"key": "erp", "concurrent": 1})
    assert explained(api, rated)["summary"].startswith("Its limit crm lets 0.5 tasks a second begin")
    assert explained(api, fresh)["summary"] == "The scheduler has yet to see whether its limit erp has room for it."
    execute(api, "UPDATE task SET limited = 'granted' WHERE id = :id", id=fresh)
    assert explained(api, full)["summary"].startswith("It waits for its limit erp, which other tasks use up.")
    execute(api, "UPDATE queue SET per_second = 3 WHERE name = 'default'")
    execute(api, "UPDATE task SET limits = NULL WHERE id = :id", id=rated)
    assert explained(api, rated)["summary"].startswith("The limit of its queue default lets 3 tasks a second begin")
    execute(api, "UPDATE queue SET per_second = NULL, concurrent = 9 WHERE name = 'default'")
    assert "whether the limit of its queue default has room" in explained(api, rated)["summary"]
    execute(api, "UPDATE queue SET concurrent = 1 WHERE name = 'default'")
    assert explained(api, rated)["summary"] == "It waits for the limit of its queue default, which other tasks use up."
