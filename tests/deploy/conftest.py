"""Every rendering that the repository offers, made once a session."""

from collections.abc import Collection
from itertools import combinations
from pathlib import Path

import pytest

from .rendering import EVERY_OPTION, KUSTOMIZE, helm, kustomize, kustomize_with

COMPONENTS = sorted(path.parent.name for path in (KUSTOMIZE / "components").glob("*/kustomization.yaml"))
OVERLAYS = sorted(path.parent.name for path in (KUSTOMIZE / "overlays").glob("*/kustomization.yaml"))
SERVERS = {"postgres", "redis"}
# It brings the component keda, in another form.
ALTERNATIVES = {"keda", "keda-metrics-api"}


def fits(chosen: Collection[str]) -> bool:
    return len(ALTERNATIVES.intersection(chosen)) < 2


# All at once, with either alternative, and all but the servers, as the chart has them.
ALL = [tuple(name for name in COMPONENTS if name != other) for other in sorted(ALTERNATIVES)]
CHART_HAS = tuple(name for name in COMPONENTS if name not in SERVERS | {"keda-metrics-api"})
# Two components that change the same field would show in a pair of them.
CHOICES = [*filter(fits, (chosen for size in (0, 1, 2) for chosen in combinations(COMPONENTS, size))), *ALL, CHART_HAS]
# Between them these have everything.
WHOLE = ["base", *(f"overlay-{name}" for name in OVERLAYS), *("-".join(("base", *chosen)) for chosen in ALL)]


@pytest.fixture(scope="session")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The manifests of each overlay, and of the base with each choice of components."""
    directory = tmp_path_factory.mktemp("kustomizations")
    made = {f"overlay-{name}": kustomize(KUSTOMIZE / "overlays" / name) for name in OVERLAYS}
    for chosen in CHOICES:
        name = "-".join(("base", *chosen))
        made[name] = kustomize_with(chosen, directory / name)
    return made


@pytest.fixture(scope="session")
def rendered_files(renderings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """These manifests, and those of the chart with every option, as files."""
    directory = tmp_path_factory.mktemp("rendered")
    files = {directory / f"{name}.yaml": text for name, text in {**renderings, "chart": helm(EVERY_OPTION)}.items()}
    for path, text in files.items():
        path.write_text(text, "utf-8")
    return list(files)
