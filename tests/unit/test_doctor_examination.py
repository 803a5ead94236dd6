"""`taskyard doctor` from its first look to its verdict, against an API that refuses, is full, busy or odd."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import taskyard.doctor
from taskyard.cli import app
from taskyard.doctor.echo import Patience
from taskyard.doctor.examination import Examination
from taskyard.doctor.findings import Finding, Report, Verdict
from tests.support.doctored import TASK_ID, Stand, standing, worker
from tests.support.http_stand_in import Call, Reply

ROOT = Path(__file__).parents[2]
KEY = "ty_unittest_" + "k" * 43
PATIENCE = Patience(0.2, slow_echo=30.0, slow_answer=30.0)
CANCEL = f"POST /api/v1/tasks/{TASK_ID}/cancel"


def examine(stand: Stand, patience: Patience = PATIENCE) -> Report:
    with standing(stand) as url:
        return Report(url, list(Examination(url, KEY, patience=patience).findings()))


def found(report: Report, step: str) -> Finding:
    (one,) = [finding for finding in report.findings if finding.step == step and finding.verdict is not Verdict.OK]
    return one


def test_everything_works_only_where_an_echo_came_back() -> None:
    report = examine(Stand())
    assert report.exit_code == 0, report.sentence
    assert re.fullmatch(r"Everything works: 1 echo came back within \d+ ms\.", report.sentence)


def test_a_slow_echo_is_a_warning_that_names_what_took_long() -> None:
    echo = found(examine(Stand(), Patience(15.0, slow_echo=0.0, slow_answer=30.0)), "echo default")
    assert echo.verdict is Verdict.SLOW
    assert echo.says.endswith("is what took long")
    assert echo.do


def test_an_installation_without_workers_is_told_so() -> None:
    report = examine(Stand(workers=[worker(state="lost")]))
    assert (report.exit_code, found(report, "workers").says) == (1, "none is alive")


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("GET /health/ready", "ready"),
        ("GET /health/detailed", "parts"),
        ("GET /api/v1/queues", "key"),
        ("GET /api/v1/workers", "queues"),
        ("GET /api/v1/events", "live events"),
        ("POST /api/v1/tasks", "key"),
        (f"GET /api/v1/tasks/{TASK_ID}", "echo default"),
    ],
)
@pytest.mark.parametrize(("status", "says"), [(503, False), (429, True)], ids=["a proxy's 503", "the API's 429"])
def test_a_refused_call_is_what_is_broken_and_nothing_else_is_blamed(
    call: str, step: str, status: int, says: bool
) -> None:
    report = examine(Stand(refuses={call: status}, says=says))
    (broken,) = report.having(Verdict.FAIL)
    assert (broken.step, report.exit_code) == (step, 1)
    assert f"the API answered {status} to {call}" in broken.says
    assert broken.do == found(report, step).do
    assert "proxy" in (broken.do or "")
    assert broken.runbook is None
    assert report.sentence.startswith(f"Broken: {step}: ")


def test_an_echo_whose_fate_cannot_be_asked_for_is_taken_back() -> None:
    """The second look at the workers is refused: the first is before the echo."""
    looks = iter((None, None, 503))

    class Failing(Stand):
        def __call__(self, call: Call) -> Reply:
            if call.path == "/api/v1/queues" and (status := next(looks)) is not None:
                self.refuses["GET /api/v1/queues"] = status
            return super().__call__(call)

    stand = Failing(runs=False)
    echo = found(examine(stand), "echo default")
    assert "did not come back, and why is not known: the API answered 503 to GET /api/v1/queues" in echo.says
    assert echo.says.endswith("(it was cancelled)")
    assert CANCEL in stand.calls


@pytest.mark.parametrize(
    ("scopes", "unseen"),
    [
        ({"read"}, "key; no echo came back; not looked at: echo."),
        ({"read", "manage"}, "key; no echo came back; not looked at: echo."),
        ({"submit"}, "key; no echo came back; not looked at: parts, queues, echo default."),
    ],
    ids=["read", "read and manage", "submit"],
)
def test_what_a_key_may_not_look_at_stands_in_the_verdict(scopes: set[str], unseen: str) -> None:
    report = examine(Stand(scopes=frozenset(scopes)))
    assert report.exit_code == 0
    assert report.sentence == f"No fault found, with something to look at: {unseen}"


def test_a_full_redis_leads_to_its_own_page() -> None:
    full = {"status": "unhealthy", "latency_ms": 1, "reason": "its memory is full"}
    report = examine(Stand(parts={"redis": full}, runs=False))
    redis, echo = found(report, "redis"), found(report, "echo default")
    assert redis.says == "the memory of Redis is full: submits are kept, and run once there is room"
    assert echo.says.startswith("not published after 0 s: the memory of Redis is full")
    assert redis.runbook == echo.runbook == "TaskyardRedisMemory"
    assert redis.do
    assert redis.do == echo.do


def test_busy_slots_are_a_warning_and_the_echo_is_taken_back() -> None:
    stand = Stand(workers=[worker(running_tasks=1)], runs=False)
    report = examine(stand)
    echo = found(report, "echo default")
    assert (report.exit_code, echo.verdict) == (0, Verdict.SLOW)
    assert "all slots are busy (1 of 1), 7 wait in the queue" in echo.says
    assert echo.says.endswith("(it was cancelled)")
    assert CANCEL in stand.calls
    assert report.sentence == "Slow: echo default; no echo came back."


def test_a_busy_worker_that_is_not_heard_of_is_no_excuse() -> None:
    silent = worker(running_tasks=1, last_beat_at="2020-01-01T00:00:00+00:00")
    report = examine(Stand(workers=[silent], runs=False))
    assert (report.exit_code, found(report, "echo default").verdict) == (1, Verdict.FAIL)


def test_live_workers_are_found_behind_those_that_ended() -> None:
    ended = [worker(f"w-{number}", state=state) for number in range(2, 5) for state in ("lost", "stopped")]
    assert examine(Stand(workers=[*ended, worker()])).exit_code == 0


def test_an_answer_that_cannot_be_read_is_a_finding_and_not_wrong_usage() -> None:
    stand = Stand(workers=[worker(last_beat_at="yesterday")])
    with standing(stand) as url:
        done = CliRunner().invoke(app, ["doctor", "--url", url, "--api-key", KEY])
    assert done.exit_code == 1, done.output
    assert "cannot be read" in done.output
    assert "yesterday" in done.output


@pytest.mark.parametrize("wrong", [("--url", "api.test"), ("--url", "http://api.test", "--api-key", "a b")])
def test_a_wrong_address_and_a_wrong_key_are_wrong_usage(wrong: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["doctor", *wrong]).exit_code == 2


def test_each_runbook_that_is_named_has_its_page() -> None:
    sources = Path(taskyard.doctor.__path__[0]).glob("*.py")
    named = {name for source in sources for name in re.findall(r'"(Taskyard[A-Z]\w+)"', source.read_text())}
    assert len(named) > 5
    missing = {name for name in named if not (ROOT / "docs/runbooks" / f"{name}.md").is_file()}
    assert not missing, f"no page in docs/runbooks for {missing}"
