"""What the doctor says of a console: one that is well, and each that is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest

from taskyard.doctor import console
from taskyard.doctor.findings import Finding, Verdict
from tests.support.http_stand_in import Call, Reply, answering

KEY = "ty_unittest_" + "k" * 43
_FORM = b'<form><input name="csrf" value="t0ken"><input name="key"></form>'


@dataclass
class Stand:
    """`statuses`: of the calls that are not answered as usual."""

    statuses: dict[str, int] = field(default_factory=dict)
    form: bytes = _FORM

    def __call__(self, call: Call) -> Reply:
        path = call.path.removeprefix("/console")
        if (status := self.statuses.get(f"{call.method} {path}")) is not None:
            return Reply(status, b"")
        match call.method, path:
            case "POST", "/sign-in":
                sent = parse_qs(call.body.decode())
                is_ours = sent == {"csrf": ["t0ken"], "key": [KEY]} and "session=1" in call.headers.get("cookie", "")
                return Reply(303 if is_ours else 403, b"", (("Location", "/"),))
            case _, "/sign-in":
                return Reply(200, self.form, (("Set-Cookie", "session=1; Path=/"),))
        return Reply(200, b"")


def look(stand: Stand, key: str | None = KEY) -> list[Finding]:
    with answering(stand) as url:
        return list(console.check(f"{url}/console", key, slow_after=30.0))


def test_a_console_that_answers_and_takes_the_key_is_well() -> None:
    assert [(one.step, one.verdict) for one in look(Stand())] == [
        ("console", Verdict.OK),
        ("console sign-in", Verdict.OK),
    ]


@pytest.mark.parametrize(
    ("statuses", "says"),
    [
        ({"GET /health/ready": 502}, "answered 502 to GET /health/ready"),
        ({"POST /sign-in": 422}, "answered 422 to POST /console/sign-in"),
        ({"GET /tasks": 503}, "answered 503 to GET /console/tasks"),
    ],
    ids=["a proxy before nothing", "another installation's key", "without its API"],
)
def test_what_does_not_work_is_named_with_what_to_do(statuses: dict[str, int], says: str) -> None:
    broken = look(Stand(statuses))[-1]
    assert broken.verdict is Verdict.FAIL
    assert says in broken.says
    assert broken.do


def test_a_console_that_is_not_there_is_a_failure() -> None:
    with answering(Stand()) as url:
        pass
    [gone] = console.check(url, KEY, slow_after=30.0)
    assert gone.verdict is Verdict.FAIL
    assert f"the console at {url} does not answer" in gone.says
    assert not gone.away, "the API may be well"


def test_a_sign_in_that_cannot_be_tried_is_no_failure() -> None:
    for stand, key in ((Stand(form=b"none"), KEY), (Stand(), None), (Stand({"POST /sign-in": 429}), KEY)):
        assert look(stand, key)[-1].verdict is Verdict.SKIP
    [_, narrow] = look(Stand({"GET /tasks": 403}))
    assert (narrow.verdict, narrow.says) == (Verdict.OK, "the key signs in, and may not see tasks")
