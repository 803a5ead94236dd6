"""What is printed of the rounds beside Dramatiq: the table of bars, and the figures beside it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bars import Bar, bars_table, percentile, ratio, table
from benchmarks.checkout import PROCESSES, THREADS
from benchmarks.children import Memory, Successors
from benchmarks.floor import PATH
from benchmarks.peers import Peer
from benchmarks.stages import STAGES, Sample, slowest

_MIB = 1024**2
_MOST_MIB_A_CHILD = 15


@dataclass(frozen=True)
class Report:
    """`figures` and `samples` are those of `rounds.Rounds`. `idle`: what each system costs while idle."""

    rounds: int
    figures: Mapping[str, Sequence[float]]
    samples: Sequence[Sample]
    memory: Sequence[Memory]
    successors: Successors
    idle: Mapping[str, Mapping[str, float]]
    peers: Sequence[Peer] = ()

    def bars(self) -> list[Bar]:
        of = self.figures
        floor = statistics.median(of["floor"])
        return [
            Bar("API processor time a submit, 1 a request / send()", ratio(of["submit_1_api"], of["send_python"]), 1.0),
            Bar("submits/s over HTTP, 1 a request / send()", ratio(of["submits_1"], of["send"]), 1.0, True),
            Bar("submits/s over HTTP, 100 a request / send()", ratio(of["submits_100"], of["send"]), 5.0, True),
            Bar(
                "worker processor time a recorded task / Dramatiq",
                ratio(of["task_worker"], of["bare_task_worker"]),
                0.6,
            ),
            Bar("all processor time a recorded task / Dramatiq", ratio(of["task_all"], of["bare_task_all"]), 1.0),
            Bar("completions/s / Dramatiq", ratio(of["completions"], of["bare_completions"]), 1.5, True),
            Bar("idle submit to start, p50 / its commits, round trips", percentile(of["latency"], 0.5) / floor, 3.0),
            Bar("idle submit to start, p99 / its commits, round trips", percentile(of["latency"], 0.99) / floor, 10.0),
            Bar("idle worker of 2 children, PSS / Dramatiq", self._idle_memory_ratio(), 2.5),
            Bar("memory of each further child that has worked, MiB", self._further_child(), _MOST_MIB_A_CHILD),
            Bar("first task of a killed child's successor / Python", self.successors.ratio, 2.0),
            *(
                Bar(f"completions/s / {p.title}", ratio(of["completions"], of[p.figure]), p.bar, True)
                for p in self.peers
            ),
        ]

    def __str__(self) -> str:
        return "\n\n".join(
            (
                f"Medians of {self.rounds} alternating rounds; workers: {PROCESSES} processes of {THREADS} threads.",
                bars_table(self.bars()),
                "Processor seconds per 10,000:",
                self._processor_seconds(),
                "Rates and times:",
                self._rates(),
                "Idle submit to start, ms, by what Redis sees of it; the same of the slowest hundredth:",
                self._stages(),
                "Its commits and round trips, each by itself, ms:",
                self._floor(),
                "Memory of a worker, MiB (PSS):",
                self._memory(),
                "Idle:",
                self._idle(),
            )
        )

    def _median(self, name: str) -> float:
        return statistics.median(self.figures[name])

    def _idle_memory_ratio(self) -> float:
        (two,) = (memory.idle for memory in self.memory if memory.children == PROCESSES)
        return two / self._median("bare_memory")

    def _further_child(self) -> float:
        fewest, most = self.memory[0], self.memory[-1]
        return (most.worked - fewest.worked) / (most.children - fewest.children) / _MIB

    def _processor_seconds(self) -> str:
        rows = []
        for title, ours, theirs in (
            ("submits, 1 a request", "submit_1", "send"),
            ("submits, 100 a request", "submit_100", "send"),
            ("recorded tasks", "task", "bare_task"),
        ):
            service = "worker" if ours == "task" else "api"
            names = [f"{ours}_{part}" for part in (service, "postgres", "redis", "all")]
            names += [f"{theirs}_{part}" for part in ("worker" if ours == "task" else "python", "redis", "all")]
            rows.append([title, *(f"{self._median(name):.2f}" for name in names)])
        return table(("", "API or worker", "PostgreSQL", "Redis", "all", "Dramatiq", "its Redis", "all"), rows)

    def _rates(self) -> str:
        ms = 1e3
        latency = [
            (
                f"idle submit to start, p{share * 100:.0f}, ms",
                *(f"{percentile(self.figures[name], share) * ms:.1f}" for name in ("latency", "bare_latency")),
            )
            for share in (0.5, 0.99)
        ]
        killed, python = (statistics.median(times) * ms for times in (self.successors.took, self.successors.python))
        rows = [
            self._pair("submits/s, 1 a request; send()", "submits_1", "send"),
            self._pair("submits/s, 100 a request; send()", "submits_100", "send"),
            self._pair("completions/s", "completions", "bare_completions"),
            *((f"completions/s, {peer.title}", "", f"{self._median(peer.figure):,.0f}") for peer in self.peers),
            self._pair("voluntary context switches a task", "task_switches", "bare_task_switches", digits=2),
            *latency,
            self._pair("fan-out of 1,000 steps and join, s", "fan", "bare_fan", digits=1),
            self._pair("chain of 100, ms a step", "link", "bare_link", times=ms, digits=1),
            ("kill -9 of a child to a task of its successor; start of Python, ms", f"{killed:.0f}", f"{python:.0f}"),
        ]
        return table(("", "Taskyard", "beside it"), rows)

    def _pair(self, title: str, ours: str, theirs: str, *, times: float = 1.0, digits: int = 0) -> tuple[str, str, str]:
        mine, others = (f"{self._median(name) * times:,.{digits}f}" for name in (ours, theirs))
        return title, mine, others

    def _stages(self) -> str:
        late = slowest(self.samples)
        columns: list[tuple[str, Callable[[Sample], float | None]]] = [
            *((name, lambda sample, n=name: (sample.stages or {}).get(n)) for name in STAGES),
            ("all", lambda sample: sample.took),
            ("threads ready, without a processor", lambda sample: sample.waited),
        ]
        rows = []
        for name, of in columns:
            seen, of_late = ([value for one in some if (value := of(one)) is not None] for some in (self.samples, late))
            if seen:
                shares = (f"{percentile(seen, share) * 1e3:.2f}" for share in (0.5, 0.99))
                rows.append((name, *shares, f"{statistics.median(of_late) * 1e3:.2f}" if of_late else ""))
        return table(("stage", "p50", "p99", "of the slowest"), rows)

    def _floor(self) -> str:
        rows = [
            (
                f"{name}, {times} times" if times > 1 else name,
                *(f"{percentile(self.figures[f'floor_{name}'], share) * 1e3:.2f}" for share in (0.5, 0.99)),
            )
            for name, times in PATH.items()
        ]
        return table(("part", "p50", "p99"), [*rows, ("all", f"{self._median('floor') * 1e3:.2f}", "")])

    def _memory(self) -> str:
        rows = [
            (f"{one.children} children", f"{one.idle / _MIB:.1f}", f"{one.worked / _MIB:.1f}") for one in self.memory
        ]
        bare = (f"Dramatiq, {PROCESSES} processes", f"{self._median('bare_memory') / _MIB:.1f}", "")
        return table(("", "idle", "after work"), [*rows, bare])

    def _idle(self) -> str:
        names = dict.fromkeys(name for figures in self.idle.values() for name in figures)
        rows = [
            (name, *(f"{figures[name]:.2f}" if name in figures else "" for figures in self.idle.values()))
            for name in names
        ]
        return table(("", *self.idle), rows)
