"""Findings on a terminal, or in a pipe: one line each, and what to do about it below."""

from __future__ import annotations

import typer

from ..output import visible
from .findings import Finding, Report, Verdict

_COLOURS = {
    Verdict.OK: "green",
    Verdict.SLOW: "yellow",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "red",
    Verdict.SKIP: "bright_black",
}
_STEP_WIDTH = 20


class Screen:
    """Colours only on a terminal, which `typer.echo` sees to. `shown` False: for --json, which prints at the end."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def show(self, finding: Finding) -> None:
        if not self._shown:
            return
        for line in lines(finding):
            typer.echo(line)

    def close(self, report: Report) -> None:
        colour = "red" if report.exit_code else "green" if report.sentence.startswith("Everything works") else "yellow"
        typer.echo()
        typer.secho(visible(report.sentence), fg=colour, bold=True)


def lines(finding: Finding) -> list[str]:
    verdict = typer.style(f"{finding.verdict:<4}", fg=_COLOURS[finding.verdict], bold=finding.verdict is Verdict.FAIL)
    shown = [f"{verdict}  {visible(finding.step):<{_STEP_WIDTH}} {_time(finding.seconds):>8}  {visible(finding.says)}"]
    if finding.verdict is Verdict.OK:
        return shown
    if finding.do:
        shown.append(_below(f"-> {visible(finding.do)}"))
    if finding.runbook:
        shown.append(_below(f"   docs/runbooks/{finding.runbook}.md"))
    return shown


def _below(text: str) -> str:
    return f"{'':<{_STEP_WIDTH + 17}}{text}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 9.9995 else f"{seconds:.1f} s"
