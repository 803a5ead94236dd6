"""TypeRegistry: the task types that workers have registered, as last read from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..domain.messages import Message
from .compiled import CompiledSpec, compile_spec
from .schemas import SchemaRefused
from .spec import TaskSpec
from .types import advice

_NOWHERE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Live:
    """A live worker that runs this version of a type, and the queues it serves."""

    name: str
    version: int
    queues: Collection[str]


@dataclass(frozen=True, slots=True)
class TypeRegistry:
    """An immutable snapshot; a newer one replaces it as a whole.

    `specs` holds every registered spec by name and version, `refused` the reasons for those that this release cannot
    compile.
    """

    specs: Mapping[tuple[str, int], TaskSpec] = field(default_factory=dict)
    refused: Mapping[tuple[str, int], str] = field(default_factory=dict)
    _live: Mapping[str, Sequence[Live]] = field(default_factory=dict, repr=False)
    _admitting: Mapping[str, CompiledSpec] = field(default_factory=dict, repr=False)
    _serving: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    _by_digest: Mapping[str, CompiledSpec] = field(default_factory=dict, repr=False)

    @classmethod
    def compile(
        cls, specs: Iterable[TaskSpec], live: Iterable[Live] = (), *, before: TypeRegistry | None = None
    ) -> TypeRegistry:
        """A snapshot. What `before` has compiled is taken over by digest.

        Compiles all specs that may admit, which may take seconds for many new ones: keep it off event loops.
        """
        known = {(spec.name, spec.version): spec for spec in specs}
        workers = [worker for worker in live if (worker.name, worker.version) in known]
        compiled, refused = _compiled(known, before._by_digest if before is not None else {})
        running = {(worker.name, worker.version) for worker in workers}
        admitting: dict[str, CompiledSpec] = {}
        # A version that runs comes before one that does not, then the newest.
        for _, name, version in sorted((key in running, *key) for key in known if key not in refused):
            admitting[name] = compiled[known[name, version].digest]
        by_name: dict[str, list[Live]] = {}
        for worker in workers:
            by_name.setdefault(worker.name, []).append(worker)
        serving = {n: _serving(by_name.get(n, ()), admitting[n].version) for n in admitting}
        return cls(known, refused, by_name, admitting, serving, compiled)

    def admitting(self, name: str) -> CompiledSpec | None:
        """The version that admits new tasks: the newest that a live worker runs, else the newest registered."""
        return self._admitting.get(name)

    def queues_serving(self, name: str, version: int | None = None) -> frozenset[str]:
        """The queues on which live workers run this version (None: the one that admits); none where nothing live runs
        it."""
        return self._serving.get(name, _NOWHERE) if version is None else _serving(self._live.get(name, ()), version)

    @property
    def is_empty(self) -> bool:
        """No type is registered, or all are retired."""
        return not self.specs

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._admitting))

    def advice(self, name: str) -> Message:
        """The sentence for a name that is not registered, with the nearest names."""
        return advice(name, self.names)


def _compiled(
    known: Mapping[tuple[str, int], TaskSpec], before: Mapping[str, CompiledSpec]
) -> tuple[dict[str, CompiledSpec], dict[tuple[str, int], str]]:
    compiled: dict[str, CompiledSpec] = {}
    refused: dict[tuple[str, int], str] = {}
    for key, spec in known.items():
        made = before.get(spec.digest)
        try:
            compiled[spec.digest] = made if made is not None else compile_spec(spec)
        except SchemaRefused as e:  # registered under the rules of another release
            refused[key] = str(e)
    return compiled, refused


def _serving(live: Iterable[Live], version: int) -> frozenset[str]:
    # An older worker gives tasks of a newer version back.
    return _NOWHERE.union(*(worker.queues for worker in live if worker.version >= version))
