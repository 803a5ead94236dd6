"""What the doctor found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..commands import AWAY, FAILED


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


def timed(step: str, says: str, seconds: float, *, slow_after: float, do: str | None = None) -> Finding:
    """What works, and is slow if it took longer than `slow_after` seconds."""
    if seconds <= slow_after:
        return Finding(step, Verdict.OK, says, seconds)
    return Finding(step, Verdict.SLOW, f"{says} (slow: more than {slow_after:g} s)", seconds, do)


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
        echoes = [one.seconds for one in self.findings if one.step.startswith("echo ") and one.seconds is not None]
        many = "1 echo" if len(echoes) == 1 else f"{len(echoes)} echoes"
        done = f"{many} came back within {max(echoes) * 1000:.0f} ms" if echoes else "no echo was sent"
        if slow := self.having(Verdict.SLOW):
            return f"Slow: {', '.join(finding.step for finding in slow)}; {done}."
        if warned := self.having(Verdict.WARN):
            return f"Works, with something to look at: {', '.join(finding.step for finding in warned)}; {done}."
        return f"Everything works: {done}."

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "ok": self.exit_code == 0,
            "says": self.sentence,
            "checks": [finding.as_json() for finding in self.findings],
        }
