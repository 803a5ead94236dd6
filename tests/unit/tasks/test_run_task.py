"""run_task, and with it every built-in type that needs no server."""

import ctypes
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

import psutil
import pytest
import structlog
from pydantic import ValidationError

from taskyard.catalogue.secrets import Secret
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType, UnknownTaskType, load
from taskyard.domain.errors import Retry
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Failed, RetryIn, Succeeded
from taskyard.lifecycle.batch import Unstorable
from taskyard.running import implementations
from taskyard.running.context import Child, TaskContext
from taskyard.running.implementations import Unimplemented, implements
from taskyard.running.trial import TaskRun, run_task
from tests.support.fleet import wait_for


class TalkParams(Params):
    token: Secret[str]
    then: str = "return"


class Talked(Result):
    token_length: int


TALK = TaskType(name="test.talk", description="", params=TalkParams, result=Talked)


@implements(TALK)
def talk(params: TalkParams, context: TaskContext) -> Talked:
    context.progress(1, 4, "begin")
    context.progress(2, 4, "begin")
    context.progress(3, None, "end")
    context.log(f"my token is {params.token.reveal()}")
    print(f"printed {params.token.reveal()}")  # noqa: T201
    logging.getLogger("somebody.else").info("logged %s", params.token.reveal())
    with context.storage.writer() as writer:
        writer.write(b"x")
        writer.commit()
    match params.then:
        case "raise":
            raise ValueError(f"wrong token {params.token.reveal()}")
        case "retry":
            raise Retry("later")
        case "database":
            with context.db():
                pass
        case "submit":
            context.submit(load(diagnostics=True)["diagnostics.echo"], {"value": 1})
            context.submit_many([Child(load(diagnostics=True)["diagnostics.echo"], {"value": n}) for n in (2, 3)])
        case "submit loosely":
            context.submit(load(diagnostics=True)["diagnostics.sleep"], {"seconds": "1"})
        case "submit nowhere":
            context.submit(load(diagnostics=True)["diagnostics.echo"], {"value": 1}, queue="nowhere")
        case "submit a NUL":
            context.submit(load(diagnostics=True)["diagnostics.echo"], {"value": "\x00"})
        case "exit":
            sys.exit(3)
    return Talked(token_length=len(params.token.reveal()))


SECRET = "s3cr3t-words"


def test_it_keeps_what_the_task_said_with_secrets_struck_out() -> None:
    run = run_task(talk, {"token": SECRET})
    assert run.result == {"token_length": len(SECRET)}
    assert run.progress == [(1, 4, "begin"), (2, 4, "begin"), (3, None, "end")]
    assert run.stages == ["begin", "end"]
    assert run.logs == ["my token is ***", "printed ***", "logged ***"]


def test_parameters_may_come_as_their_model() -> None:
    assert run_task(talk, TalkParams(token=Secret("abc"))).result == {"token_length": 3}


def test_an_error_is_an_outcome_without_the_secret() -> None:
    run = run_task(talk, {"token": SECRET, "then": "raise"})
    assert isinstance(run.outcome, RetryIn)
    assert run.outcome.fault.message == "wrong token ***"
    assert SECRET not in repr(run.outcome)
    with pytest.raises(AssertionError, match=r"wrong token \*\*\*"):
        run.result  # noqa: B018


def test_the_last_attempt_fails_for_good() -> None:
    last = run_task(talk, {"token": "x", "then": "retry"}, attempt=TALK.retry.max_attempts)
    assert isinstance(last.outcome, Failed)
    assert last.outcome.fault.code == "retry_requested"


def test_children_are_checked_and_kept() -> None:
    run = run_task(talk, {"token": "x", "then": "submit"})
    assert [(c.task_type.name, c.params["value"]) for c in run.submitted] == [
        ("diagnostics.echo", 1),
        ("diagnostics.echo", 2),
        ("diagnostics.echo", 3),
    ]


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("submit loosely", "task_exception"),
        ("submit nowhere", "unknown_queue"),
        ("submit a NUL", "params_invalid"),
    ],
)
def test_children_are_refused_as_a_worker_refuses_them(then: str, code: str) -> None:
    run = run_task(talk, {"token": "x", "then": then})
    assert isinstance(run.outcome, Failed | RetryIn)
    assert run.outcome.fault.code == code
    assert run.submitted == []


def test_without_a_database_the_error_says_so() -> None:
    run = run_task(talk, {"token": "x", "then": "database"})
    assert isinstance(run.outcome, Failed)
    assert run.outcome.fault.code == "no_database"


def test_an_exit_ends_the_task_and_not_the_process() -> None:
    assert not isinstance(run_task(talk, {"token": "x", "then": "exit"}).outcome, Succeeded)


def test_everything_is_put_back_afterwards() -> None:
    root = logging.getLogger()
    before = (sys.stdout, root.level, list(root.handlers), structlog.get_config()["processors"][:])
    threads = set(threading.enumerate())
    run_task(talk, {"token": "x", "then": "raise"})
    run_task("health.check", {})
    assert before == (sys.stdout, root.level, list(root.handlers), structlog.get_config()["processors"])
    assert set(threading.enumerate()) <= threads


def test_what_a_submit_would_refuse_is_refused() -> None:
    with pytest.raises(UnknownTaskType, match=r"diagnostics\.echo"):
        run_task("diagnostics.ecko", {})
    with pytest.raises(ValidationError):
        run_task("diagnostics.sleep", {"seconds": -1})
    with pytest.raises(Unstorable):
        run_task("diagnostics.echo", {"value": "\x00"})
    with pytest.raises(TypeError, match="@implements"):
        run_task(lambda params, context: None, {})


def test_every_declared_type_has_exactly_one_implementation() -> None:
    catalogue = load(diagnostics=True)
    assert set(implementations.collect(catalogue)) == set(catalogue.names)
    assert {"email.send", "email.send_welcome", "files.process_large_file", "files.generate_thumbnail"} < set(
        catalogue.names
    )


@pytest.mark.parametrize("queue", ["epoch", "a.DQ", "", "x" * 64])
def test_a_type_cannot_bring_a_queue_whose_name_is_taken_in_redis(queue: str) -> None:
    with pytest.raises(ValueError, match=r"'test\.elsewhere': .* cannot name a queue"):
        Catalogue([TaskType(name="test.elsewhere", description="", params=Params, result=Result, queue=queue)])


def test_the_name_of_a_task_type_has_a_bound() -> None:
    fits, long = (TaskType(name="test." + "ü" * n, description="", params=Params, result=Result) for n in (61, 62))
    Catalogue([fits])
    with pytest.raises(ValueError, match="128 bytes"):
        Catalogue([long])


def test_a_type_without_an_implementation_is_named() -> None:
    nothing = TaskType(name="test.nothing", description="", params=Params, result=Result)
    with pytest.raises(Unimplemented, match="nothing"):
        implementations.collect(Catalogue([*load(), nothing]))


def test_diagnostics_are_known_only_where_they_are_asked_for() -> None:
    assert not [name for name in load().names if name.startswith("diagnostics.")]
    assert len([name for name in load(diagnostics=True).names if name.startswith("diagnostics.")]) == 5


@pytest.mark.parametrize("name", load(diagnostics=True).names)
def test_every_type_is_described_and_bounded(name: str) -> None:
    task_type = load(diagnostics=True)[name]
    assert task_type.description.endswith(".")
    assert task_type.params.model_json_schema()["additionalProperties"] is False
    assert task_type.result.model_json_schema()["additionalProperties"] is False
    assert task_type.soft_limit < task_type.hard_limit


def test_the_queues_and_budgets_are_those_of_the_design() -> None:
    catalogue = load()
    assert {t.name: (t.queue, t.retry.retries) for t in catalogue} == {
        "email.send": ("default", 5),
        "email.send_welcome": ("default", 5),
        "files.process_large_file": ("default", 3),
        "files.generate_thumbnail": ("default", 3),
        "health.check": ("high_priority", 1),
    }
    assert catalogue["health.check"].retry.delay(1).total_seconds() == 60
    assert catalogue["files.generate_thumbnail"].retry == RetryPolicy()


# The diagnostics themselves


def run(name: str, params: dict[str, Any], attempt: int = 1) -> TaskRun:
    return run_task(f"diagnostics.{name}", params, attempt=attempt)


@pytest.mark.parametrize("value", [None, 1, "ü", [1, {"a": [None]}], {"": ""}])
def test_echo_returns_its_value(value: object) -> None:
    assert run("echo", {"value": value}).result == {"value": value}


def test_sleep_sleeps() -> None:
    started = time.monotonic()
    run("sleep", {"seconds": 0.12})
    assert 0.12 <= time.monotonic() - started < 10


def holds_the_gil(in_c: bool) -> bool:
    beats: list[float] = []
    stop = threading.Event()

    def beat() -> None:
        while not stop.is_set():
            beats.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=beat)
    thread.start()
    time.sleep(0.05)
    run("sleep", {"seconds": 0.5, "in_c": in_c})
    stop.set()
    thread.join()
    return max(b - a for a, b in itertools.pairwise(beats)) > 0.4


def test_sleep_in_c_holds_the_gil_and_the_other_does_not() -> None:
    assert holds_the_gil(in_c=True)
    # Whoever shares this machine may hold one of them up.
    assert not all(holds_the_gil(in_c=False) for _ in range(3))


def sleeps(thread: threading.Thread) -> bool:
    """Whether it has come to where the task sleeps."""
    frame = sys._current_frames().get(thread.ident or 0)
    names = {f.f_code.co_name for f, _ in traceback.walk_stack(frame)} if frame is not None else set()
    return "_sleep_in_slices" in names


def test_an_interrupt_from_outside_reaches_a_sleeping_task() -> None:
    runs: list[TaskRun] = []
    thread = threading.Thread(target=lambda: runs.append(run("sleep", {"seconds": 30})))
    thread.start()
    wait_for(lambda: sleeps(thread), 10, "it to sleep")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeoutError))
    thread.join(10)
    assert not thread.is_alive()
    assert not isinstance(runs[0].outcome, Succeeded)


def test_fail_fails_so_many_times() -> None:
    first = run("fail", {"times": 2, "kind": "transient"})
    assert isinstance(first.outcome, RetryIn)
    assert first.outcome.delay.total_seconds() <= 0.2
    assert isinstance(run("fail", {"times": 2}, attempt=2).outcome, RetryIn)
    assert run("fail", {"times": 2}, attempt=3).result == {"attempt": 3}


def test_a_permanent_failure_is_not_tried_again() -> None:
    outcome = run("fail", {"times": 1, "kind": "permanent"}).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.fault.code, outcome.fault.retryable) == ("diagnostic_permanent", False)


@pytest.mark.parametrize(("given", "number"), [("SIGKILL", 9), ("ABRT", 6), (11, 11)])
def test_crash_kills_its_process(given: object, number: int) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
        "from taskyard.running.trial import run_task;"
        f"run_task('diagnostics.crash', {{'signal': {given!r}, 'times': 1}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=dict(os.environ))
    assert done.returncode == -number


def test_crash_stops_crashing() -> None:
    assert run("crash", {"times": 2, "signal": "SIGKILL"}, attempt=3).result == {"attempt": 3}


@pytest.mark.parametrize("given", ["SIGSTOP", 19, 0, 1, -9, True, "", None, "sigkill", 9.5])
def test_other_signals_are_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        run("crash", {"signal": given, "times": 0})


def test_allocate_takes_real_memory() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    thread = threading.Thread(target=run, args=("allocate", {"megabytes": 100, "hold_seconds": 0.5}))
    thread.start()
    most = before
    while thread.is_alive():
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
    assert most - before > 90 * 2**20
    assert process.memory_info().rss - before < 50 * 2**20
