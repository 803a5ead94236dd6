"""What is shipped is what is tested: the locks of the images against requirements/dev.txt."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def locks_of_images() -> set[str]:
    """As the Dockerfiles name them, and those of worker images as the Makefile does."""
    named = {
        name
        for path in (ROOT / "deploy/docker").glob("*.Dockerfile")
        for name in re.findall(r" -r requirements/([a-z-]+)\.txt", path.read_text("utf-8"))
    }
    return named | set(re.findall(r"^KITS_([\w-]+) :=", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def pins(lock: str) -> set[tuple[str, str]]:
    return set(PIN.findall((REQUIREMENTS / f"{lock}.txt").read_text("utf-8")))


@pytest.mark.parametrize("lock", sorted(locks_of_images()))
def test_images_install_the_versions_that_the_tests_run_with(lock: str) -> None:
    assert pins(lock)
    assert pins(lock) <= pins("dev"), "run make lock"


def test_the_locks_of_images_are_all_found() -> None:
    others = {"dev", "audit", "k8s-check", "k8s-tools", "api-overrides"}
    assert locks_of_images() == {path.stem for path in REQUIREMENTS.glob("*.txt")} - others
