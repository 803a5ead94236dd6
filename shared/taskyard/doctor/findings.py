"""What the doctor found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..commands import AWAY, FAILED
from .api import Answer

# What is raised where an answer is not as this release knows it.
UNREADABLE = (KeyError, TypeError, ValueError)


class Verdict(StrEnum):
    """`SLOW` and `WARN` change no exit code; `SKIP`: it could not be looked at."""

    OK = "ok"
    SLOW = "slow"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One step. `do`: what a person does about it. `runbook`: a page of docs/runbooks, named as its alert is. `away`:
    the API cannot be reached, so that nothing else can be looked at."""

    step: str
    verdict: Verdict
    says: str
    seconds: float | None = None
    do: str | None = None
    runbook: str | None = None
    away: bool = False

    @property
    def is_echo_back(self) -> bool:
        return self.step.startswith("echo ") and self.verdict in {Verdict.OK, Verdict.SLOW} and self.seconds is not None

    def as_json(self) -> dict[str, Any]:
        milliseconds = None if self.seconds is None else round(self.seconds * 1000, 1)
        return {
            "step": self.step,
            "verdict": self.verdict.lower(),
            "milliseconds": milliseconds,
            "says": self.says,
            "do": self.do,
            "runbook": self.runbook,
        }


def timed(
    step: str, says: str, seconds: float, *, slow_after: float, do: str | None = None, runbook: str | None = None
) -> Finding:
    """What works, and is slow if it took longer than `slow_after` seconds."""
    if seconds <= slow_after:
        return Finding(step, Verdict.OK, says, seconds)
    return Finding(step, Verdict.SLOW, f"{says} (slow: more than {slow_after:g} s)", seconds, do, runbook)


def refused(step: str, answer: Answer) -> Finding:
    """Of an answer that is not fine: nothing is known of what was asked for, so nothing else is blamed."""
    runbook = "TaskyardDatabaseDown" if answer.blames_ledger else None
    return Finding(step, Verdict.FAIL, answer.says, answer.seconds, do=answer.do, runbook=runbook)


def unreadable(step: str, error: Exception) -> Finding:
    """`error`: one of `UNREADABLE`."""
    says = f"an answer of the API cannot be read: {error!r}"
    do = "Use the command of the API's release: inside the API's container it is."
    return Finding(step, Verdict.FAIL, says, do=do)


@dataclass(frozen=True, slots=True)
class Report:
    url: str
    findings: Sequence[Finding]

    def having(self, verdict: Verdict) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is verdict]

    @property
    def exit_code(self) -> int:
        if any(finding.away for finding in self.findings):
            return AWAY
        return FAILED if self.having(Verdict.FAIL) else 0

    @property
    def sentence(self) -> str:
        """The verdict on the whole. The first failure is named: what follows it is often its consequence."""
        if failed := self.having(Verdict.FAIL):
            others = f" ({len(failed) - 1} more below it)" if len(failed) > 1 else ""
            return f"Broken: {failed[0].step}: {failed[0].says}{others}"
        back = [one.seconds for one in self.findings if one.is_echo_back and one.seconds is not None]
        many = "1 echo" if len(back) == 1 else f"{len(back)} echoes"
        done = f"{many} came back within {max(back) * 1000:.0f} ms" if back else "no echo came back"
        if unseen := self.having(Verdict.SKIP):
            done += f"; not looked at: {_steps(unseen)}"
        if slow := self.having(Verdict.SLOW):
            return f"Slow: {_steps(slow)}; {done}."
        if warned := self.having(Verdict.WARN):
            return f"{'Works' if back else 'No fault found'}, with something to look at: {_steps(warned)}; {done}."
        return f"{'Everything works' if back else 'No fault found'}: {done}."

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "ok": self.exit_code == 0,
            "says": self.sentence,
            "checks": [finding.as_json() for finding in self.findings],
        }


def _steps(findings: Sequence[Finding]) -> str:
    return ", ".join(finding.step for finding in findings)
