"""`taskyard tasks` and `taskyard events`: over HTTP, with exit codes a script can use."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from taskyard import cli
from taskyard.broker.publisher import encode_changes
from taskyard.domain.tasks import Change, Released, State
from taskyard.lifecycle.limits import Granting
from taskyard.store.ledger import run_transaction
from taskyard_client import Client
from taskyard_scheduler.depth import Depth
from tests.integration.api.conftest import NAMESPACE, Api
from tests.integration.api.program import environment
from tests.integration.api.worker import Worker
from tests.support.cases import one_in
from tests.support.fleet import free_port, repeating, wait_for

BIN = Path(sys.executable).parent / "taskyard"


def taskyard(
    api: Api, *arguments: str, url: str | None = None, more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    env = {**kept, "TASKYARD_URL": url or api.url, "TASKYARD_API_KEY": key, "COLUMNS": "100", **(more or {})}
    return subprocess.run([str(BIN), *arguments], env=env, capture_output=True, text=True, check=False, timeout=60)


def test_explain_prints_what_a_task_waits_for_and_what_became_of_its_attempts(api: Api) -> None:
    worker, task = Worker(api.engine), api.submit()["id"]
    for _ in range(2):
        worker.begin(task)
        worker.end(task, Released("the worker stops"))
    shown = taskyard(api, "tasks", "explain", task)
    assert shown.returncode == 0, shown.stderr
    first, reason, *attempts = shown.stdout.splitlines()
    assert first == f"{task}  queued"
    assert reason.split(maxsplit=1) == ["in_line", "It is number 1 in the queue default."]
    assert [line.split(maxsplit=2)[2] for line in attempts] == ["Its worker gave it back: the worker stops."] * 2
    assert json.loads(taskyard(api, "tasks", "explain", task, "--json").stdout)["position"] == 1
    assert "no such task" in taskyard(api, "tasks", "explain", str(uuid4())).stderr


def test_explain_prints_who_holds_a_limit_in_the_language_of_the_terminal(api: Api) -> None:
    ids = [api.submit(limits={"key": "crm", "concurrent": 7})["id"] for _ in range(8)]
    run_transaction(api.engine, Granting().turn)

    def shown(*more: str, **environment: str) -> list[str]:
        done = taskyard(api, "tasks", "explain", ids[-1], *more, more={"LC_ALL": "", **environment})
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    _, reason, *holders = shown(LANG="hu_HU.UTF-8")
    assert reason.split(maxsplit=1) == [
        "limited",
        (
            "A(z) crm korlátjára vár, amelyet más feladatok kimerítenek."
            " A várakozási sorának erre váró feladatai között a(z) 1. helyen áll."
        ),
    ]
    assert [line.split()[:3] for line in holders[:5]] == [[i, "diagnostics.echo", "queued"] for i in ids[:5]]
    assert holders[5].split() == ["+", "2"]
    assert "other tasks use up" in shown(LANG="C.UTF-8")[1]
    assert "ausschöpfen" in shown("--lang", "de", LANG="hu_HU.UTF-8")[1]
    assert "is no language" in taskyard(api, "tasks", "explain", ids[-1], "--lang", "é").stderr


def test_a_task_from_submit_to_the_end(api: Api, shared_redis: redis.Redis) -> None:
    worker = Worker(api.engine)
    made = taskyard(api, "tasks", "submit", "diagnostics.echo", "-p", "value=[1, 2]", "--tag", "x")
    assert made.returncode == 0, made.stderr
    task = made.stdout.strip()
    shown = json.loads(taskyard(api, "tasks", "status", task, "--json").stdout)
    assert (shown["params"], shown["tags"]) == ({"value": [1, 2]}, ["x"])

    def work() -> None:
        time.sleep(2)
        worker.begin(task)
        worker.progress(task, 1, 2, "half way")
        worker.note(task, "a line of the log")
        time.sleep(0.5)
        worker.end(task)
        change = Change(UUID(task), "diagnostics.echo", "default", State.SUCCEEDED, 1)
        shared_redis.publish(f"{NAMESPACE}:events", encode_changes([change]))

    thread = threading.Thread(target=work)
    thread.start()
    watched = taskyard(api, "tasks", "watch", task)
    thread.join()
    assert watched.returncode == 0, watched.stderr
    for word in ("submitted", "started", "a line of the log", "succeeded"):
        assert word in watched.stdout
    told = [json.loads(line)["kind"] for line in taskyard(api, "tasks", "watch", task, "--json").stdout.splitlines()]
    assert told[0] == "submitted"
    assert told[-1] == "succeeded"
    assert "Only failed and cancelled" in taskyard(api, "tasks", "retry", task).stderr


def test_cancel_retry_and_what_goes_wrong(api: Api) -> None:
    task = api.submit()["id"]
    assert "was cancelled" in taskyard(api, "tasks", "cancel", task).stdout
    assert taskyard(api, "tasks", "cancel", task).returncode == 1
    assert taskyard(api, "tasks", "watch", task).returncode == 1
    assert "queued again" in taskyard(api, "tasks", "retry", task).stdout
    refused = taskyard(api, "tasks", "submit", "diagnostics.echo", '{"wrong": 1}')
    assert (refused.returncode, "/params/wrong" in refused.stderr) == (1, True)
    assert taskyard(api, "tasks", "submit", "diagnostics.echo", "{").returncode == 2
    assert taskyard(api, "tasks", "status", task, url="http://127.0.0.1:1").returncode == 3


@pytest.mark.long
def test_queues_are_paused_limited_and_resumed(api: Api) -> None:
    wait_for(lambda: api.http.get("/api/v1/queues/low_priority").status_code == 200, 10, "the API to make its queues")
    assert "low_priority paused since" in taskyard(api, "queues", "pause", "low_priority").stdout
    limited = taskyard(api, "queues", "limit", "low_priority", "--concurrent", "4", "--per-second", "0.5").stdout
    assert limited.rstrip().endswith("4 at a time, 0.5 a second")
    assert "counted" not in taskyard(api, "queues", "list").stdout, "nothing has counted them"
    with api.engine.connect() as conn:
        Depth.snapshot(conn)
        conn.exec_driver_sql("UPDATE queue_depth SET taken_at = now() - interval '1 hour'")
    assert re.search(r"^counted 36\d\d s ago$", taskyard(api, "queues", "list").stdout, re.MULTILINE)
    (line,) = [x for x in taskyard(api, "queues", "list").stdout.splitlines() if x.startswith("low_priority")]
    assert "paused since" in line
    assert "4 at a time" in line
    taskyard(api, "queues", "limit", "low_priority", "--concurrent", "none", "--per-second", "none")
    resumed = taskyard(api, "queues", "resume", "low_priority").stdout
    assert resumed == "low_priority is not paused and has no limits\n"
    assert json.loads(taskyard(api, "queues", "list", "--json").stdout)[0]["paused"] is False
    assert taskyard(api, "queues", "pause", "none_such").returncode == 1
    assert taskyard(api, "queues", "limit", "low_priority").returncode == 2
    assert taskyard(api, "queues", "limit", "low_priority", "--concurrent", "many").returncode == 2


def test_a_purge_asks_before_it_cancels(api: Api) -> None:
    ids = [api.submit(queue="low_priority")["id"] for _ in range(3)]
    looked = taskyard(api, "queues", "purge", "low_priority", "--dry-run").stdout
    assert looked.splitlines() == [f"{i}  diagnostics.echo  queued" for i in ids] + ["Would cancel 3 tasks."]
    asked = taskyard(api, "queues", "purge", "low_priority")  # nobody answers
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "Cancel 3 tasks that wait in low_priority? [y/N]" in asked.stderr
    assert taskyard(api, "queues", "purge", "low_priority", "--yes").stdout == "3 tasks cancelled.\n"
    assert json.loads(taskyard(api, "queues", "purge", "low_priority", "--yes", "--json").stdout) == {
        "changed": 0,
        "left": 0,
        "submitted_since": 0,
    }


def test_tasks_are_changed_and_cancelled_by_a_filter(api: Api) -> None:
    ids = [api.submit(tags=["import"])["id"] for _ in range(2)]
    moved = taskyard(api, "tasks", "change", ids[0], "--queue", "low_priority", "--run-at", "2036-01-31T12:00:00Z")
    assert moved.stdout == f"{ids[0]} is scheduled in low_priority.\n"
    assert taskyard(api, "tasks", "change", ids[0]).returncode == 2
    assert taskyard(api, "tasks", "cancel").returncode == 2
    assert taskyard(api, "tasks", "cancel", ids[0], "--tag", "import").returncode == 2
    assert taskyard(api, "tasks", "cancel", "--tag", "import").returncode == 1, "nobody answers"
    looked = taskyard(api, "tasks", "cancel", "--state", "queued", "--dry-run").stdout.splitlines()
    assert looked == [f"{ids[1]}  default  diagnostics.echo  queued", "Would cancel 1 task."]
    assert taskyard(api, "tasks", "cancel", *ids).stdout == "2 tasks cancelled or asked to stop.\n"
    assert taskyard(api, "tasks", "change", ids[0], "--tag", "x").returncode == 1, "it has ended"


def test_dead_letters_are_discarded_and_restored(api: Api) -> None:
    worker = Worker(api.engine)
    ids = [api.submit()["id"] for _ in range(2)]
    worker.begin(ids[0])
    worker.fail(ids[0])
    assert taskyard(api, "tasks", "restore", ids[0]).returncode == 1, "nobody has discarded it"
    assert taskyard(api, "tasks", "discard", ids[0]).stdout == "1 task discarded.\n"
    assert json.loads(taskyard(api, "tasks", "restore", ids[0], "--json").stdout)["changed"] == 1
    both = taskyard(api, "tasks", "discard", *ids)
    assert (both.stdout, both.returncode) == ("1 task discarded.\n", 1), "the other one waits"


def test_addresses_of_this_machine_bypass_the_proxy(api: Api) -> None:
    task, proxy = api.submit()["id"], {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}
    for url in (api.url, api.url.replace("127.0.0.1", "localhost")):
        shown = taskyard(api, "tasks", "status", task, url=url, more=proxy)
        assert (shown.returncode, task in shown.stdout) == (0, True), shown.stderr
    assert taskyard(api, "tasks", "status", task, url="http://taskyard.invalid", more=proxy).returncode == 3


def test_a_wrong_setting_is_one_line(api: Api) -> None:
    for name, value in (
        ("TASKYARD_API_KEY", "ty_\u00fcber"),
        ("TASKYARD_API_KEY", "ty_a\nb"),
        ("TASKYARD_URL", "nonsense"),
        ("TASKYARD_URL", "http://127.0.0.1:port"),
        ("TASKYARD_URL", "http://[::1"),
        ("TASKYARD_URL", "ftp://example.org"),
        ("TASKYARD_LOG_LEVEL", "loud"),
    ):
        told = taskyard(api, "tasks", "status", str(uuid4()), more={name: value})
        assert (told.returncode, told.stdout) == (2, ""), (name, value, told.stderr)
        assert [line.startswith(f"taskyard: {name}: ") for line in told.stderr.splitlines()] == [True]


def test_the_log_level_filters_by_severity(api: Api) -> None:
    """By severity, not as text: as text, both DEBUG and ERROR sort before WARNING."""
    task = api.submit()["id"]
    assert "HTTP Request" in taskyard(api, "tasks", "status", task, "--log-level", "info").stderr
    assert "HTTP Request" in taskyard(api, "tasks", "status", task, "--log-level", "debug").stderr
    assert taskyard(api, "tasks", "status", task, "--log-level", "error").stderr == ""
    assert taskyard(api, "tasks", "status", task).stderr == ""
    assert taskyard(api, "tasks", "status", task, more={"LOG_LEVEL": "debug"}).stderr == ""


def test_the_examples_of_submit_work(api: Api) -> None:
    epilog = next(c.epilog or "" for c in cli.tasks.registered_commands if c.callback is cli.submit)
    examples = [line.strip() for line in epilog.splitlines() if line.startswith("  ")]
    assert len(examples) == 2
    for example in examples:
        words = [word for word in shlex.split(example)[1:] if word != "--watch"]
        done = taskyard(api, *words)
        assert done.returncode == 0, f"{example}: {done.stderr}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "diagnostics.echo", "--idempotency-key", "\u00e9"),
        ("submit", "diagnostics.echo", "--idempotency-key", "a\nb"),
        ("submit", "diagnostics.echo", "--idempotency-key", ""),
        ("submit", "diagnostics.echo", "--delay", "nan"),
        ("submit", "diagnostics.echo", "--delay", "inf"),
        ("submit", "diagnostics.echo", '{"value": NaN}'),
        ("submit", "diagnostics.echo", '{"value": 1e400}'),
        ("submit", "diagnostics.echo", '{"value": 1, "value": 2}'),
        ("submit", "diagnostics.echo", '{"value": {"a": [{"b": 1, "b": 2}]}}'),
        ("submit", "diagnostics.echo", "[1]"),
        ("submit", "diagnostics.echo", "-p", "value=\udcff"),
        ("submit", "diagnostics.echo", "--tag", "\udcff"),
        ("status", "../task-types"),
        ("cancel", "x?y=1"),
    ],
    ids=repr,
)
def test_arguments_that_cannot_be_sent_are_usage_errors(api: Api, arguments: tuple[str, ...]) -> None:
    done = taskyard(api, "tasks", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert api.count_tasks() == 0


def test_numbers_are_sent_as_they_were_given(api: Api) -> None:
    """The API refuses integers beyond 64 bits; as a float, another number would be stored."""
    refused = taskyard(api, "tasks", "submit", "diagnostics.echo", "-p", "value=123456789012345678901234567890")
    assert (refused.returncode, "/params/value" in refused.stderr) == (1, True)
    taken = taskyard(api, "tasks", "submit", "diagnostics.echo", "-p", "value=18446744073709551615", "--json")
    assert json.loads(taken.stdout)["params"] == {"value": 18446744073709551615}


@pytest.mark.long
def test_following_a_task_outlives_a_restart_of_the_api(api: Api, database_url: str, redis_url: str) -> None:
    """The client gives up after a time without the API, not after a time without events."""
    ahead = 0.0
    port = free_port()
    env = environment(database_url, redis_url, TASKYARD_API_PORT=str(port), TASKYARD_NAMESPACE=NAMESPACE)
    command = [str(BIN.with_name("taskyard-api")), "serve"]
    worker, task = Worker(api.engine), api.submit()["id"]
    worker.begin(task)
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    caller = Client(f"http://127.0.0.1:{port}", key, clock=lambda: time.monotonic() + ahead)
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        assert any("startup complete" in line for line in first.stderr)
        events = caller.events(UUID(task))
        assert [next(events).kind for _ in range(2)] == ["submitted", "started"]
        ahead = 1000.0
        first.terminate()
        first.communicate()
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as second:
        try:
            worker.end(task)
            assert [event.kind for event in events] == ["succeeded"]
        finally:
            second.terminate()
    caller.close()


# Beside ASCII the value has only letters that none of these have: what is printed is UTF-8, too.
@pytest.mark.parametrize("encoding", one_in(3, ["cp1252", "ascii", "latin-1"]))
def test_a_task_is_shown_where_the_output_lacks_its_letters(api: Api, encoding: str) -> None:
    worker = Worker(api.engine)
    value = "tűrő 😀"
    task = api.submit(params={"value": value})["id"]
    worker.begin(task)
    worker.progress(task, 1, 2, value)
    with_encoding = {"PYTHONIOENCODING": encoding}
    as_json = taskyard(api, "tasks", "status", task, "--json", more=with_encoding)
    assert json.loads(as_json.stdout)["params"] == {"value": value}
    shown = taskyard(api, "tasks", "status", task, more=with_encoding)
    assert (shown.returncode, shown.stderr) == (0, "")
    # Typer takes ASCII for a mistake of the environment, and writes UTF-8.
    assert ("tűrő 😀" if encoding == "ascii" else "t\\u0171r\\u0151 \\ud83d\\ude00") in shown.stdout
    worker.end(task)
    watched = taskyard(api, "tasks", "watch", task, more=with_encoding)
    assert (watched.returncode, watched.stderr) == (0, "")


def changing(shared_redis: redis.Redis, *changes: Change) -> AbstractContextManager[None]:
    """Told again and again: a follower may have come late."""
    return repeating(lambda: shared_redis.publish(f"{NAMESPACE}:events", encode_changes(list(changes))), every=0.2)


def test_events_prints_what_happens_and_ends_after_so_many(api: Api, shared_redis: redis.Redis) -> None:
    here = Change(uuid4(), "mail.one", "default", State.FAILED, 2)
    other = Change(uuid4(), "mail.two", "default", State.QUEUED, 0)
    with changing(shared_redis, other, here):
        shown = taskyard(api, "events", "--state", "failed,retrying", "--limit", "2")
        as_json = taskyard(api, "events", "--name", "mail.two", "--limit", "1", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    for line in shown.stdout.splitlines():
        assert line.split()[1:] == [str(here.task_id), "failed", "mail.one", "queue", "default", "attempt", "2"]
    assert len(shown.stdout.splitlines()) == 2
    told = json.loads(as_json.stdout)
    assert (told["task_id"], told["state"]) == (str(other.task_id), "queued")
    assert told["at"].endswith("Z")


@pytest.mark.long
def test_events_of_a_task_are_its_timeline(api: Api) -> None:
    worker, task = Worker(api.engine), api.submit()["id"]
    worker.begin(task)
    worker.end(task)
    shown = taskyard(api, "events", "--task", task)
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[1] for line in shown.stdout.splitlines()] == ["submitted", "started", "succeeded"]
    kinds = [json.loads(line)["kind"] for line in taskyard(api, "events", "--task", task, "--json").stdout.splitlines()]
    assert kinds == ["submitted", "started", "succeeded"]
    assert taskyard(api, "events", "--task", str(uuid4())).returncode == 1, "there is none"
    assert taskyard(api, "events", "--task", task, "--queue", "default").returncode == 2
    assert taskyard(api, "events", "--state", "gone").returncode == 1
    assert taskyard(api, "events", url="http://127.0.0.1:1").returncode == 3


def test_events_write_each_line_at_once_and_end_quietly(api: Api, shared_redis: redis.Redis) -> None:
    """With 130 after Ctrl-C, and without a word where nobody reads on."""
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    env = {**environment("", "", TASKYARD_URL=api.url, TASKYARD_API_KEY=key)}
    change = Change(uuid4(), "mail.one", "default", State.RUNNING, 1)
    start = partial(
        subprocess.Popen[str], [BIN, "events"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with changing(shared_redis, change), start() as first, start() as second:
        assert first.stdout is not None
        assert second.stdout is not None
        assert second.stderr is not None
        for written in (first.stdout, second.stdout):
            assert str(change.task_id) in written.readline()
        first.send_signal(signal.SIGINT)
        assert first.communicate(timeout=20)[1] == ""
        second.stdout.close()
        assert second.stderr.read() == ""
    assert (first.returncode, second.returncode) == (130, 1)
