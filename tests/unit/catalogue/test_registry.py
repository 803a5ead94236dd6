"""The registry: the newest version that a live worker runs admits, and only workers of it serve its queues."""

from typing import Any

from taskyard.catalogue.kits import load
from taskyard.catalogue.registry import Live, TypeRegistry
from taskyard.catalogue.spec import TaskSpec, spec_of
from taskyard.settings import Settings

ECHO = next(t for t in load(Settings(diagnostics=True)).catalogue if t.name == "diagnostics.echo")


def spec(name: str, version: int = 1, **changes: Any) -> TaskSpec:
    return TaskSpec.parse({**spec_of(ECHO).as_json(), "name": name, "version": version, **changes})


def admits(registry: TypeRegistry, name: str) -> int | None:
    found = registry.admitting(name)
    return None if found is None else found.version


def test_the_newest_live_version_admits_and_else_the_newest_registered() -> None:
    specs = [spec("a", version) for version in (2, 10, 1)]
    assert admits(TypeRegistry.compile(specs), "a") == 10
    assert admits(TypeRegistry.compile(specs, [Live("a", 1, ["x"])]), "a") == 1
    assert admits(TypeRegistry.compile(specs, [Live("a", 1, ["x"]), Live("a", 2, ["x"])]), "a") == 2
    assert admits(TypeRegistry.compile(specs, [Live("a", 11, ["x"])]), "a") == 10, "its spec is not registered yet"
    assert admits(TypeRegistry.compile(specs), "b") is None


def test_queues_are_served_by_workers_that_can_claim_the_version_that_admits() -> None:
    specs = [spec("a", 1), spec("a", 2), spec("b")]
    live = [Live("a", 1, ["old"]), Live("a", 2, ["x", "y"]), Live("a", 2, ["z"])]
    registry = TypeRegistry.compile(specs, live)
    assert registry.queues_serving("a") == {"x", "y", "z"}
    assert registry.queues_serving("b") == frozenset()
    assert registry.queues_serving("unknown") == frozenset()


def test_an_empty_registry_says_so() -> None:
    assert TypeRegistry().is_empty
    assert not TypeRegistry.compile([spec("a")]).is_empty


def test_what_was_compiled_is_taken_over_by_digest() -> None:
    before = TypeRegistry.compile([spec("a"), spec("b")])
    after = TypeRegistry.compile([spec("a"), spec("b", description="other")], before=before)
    assert after.admitting("a") is before.admitting("a")
    assert after.admitting("b") is not before.admitting("b")


def test_a_spec_that_this_release_cannot_compile_hides_no_other() -> None:
    bad = spec("a", 2)
    bad.params["$ref"] = "http://x/"  # as if it had been registered under other rules
    registry = TypeRegistry.compile([bad, spec("a", 1), spec("b")], [Live("a", 2, ["x"])])
    assert (admits(registry, "a"), admits(registry, "b")) == (1, 1)
    assert ("a", 2) in registry.refused


def test_an_unknown_name_is_answered_with_the_nearest_names() -> None:
    registry = TypeRegistry.compile([spec("email.send"), spec("files.convert")])
    assert registry.advice("email.sent") == "There is no task type 'email.sent'. Did you mean email.send?"
    assert "GET /api/v1/task-types" in registry.advice("z" * 100_000)
    assert len(registry.advice("z" * 100_000)) < 300
