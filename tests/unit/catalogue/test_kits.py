"""Kits: found by their entry points, imported for the queues of a worker, with settings of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from taskyard.catalogue import kits
from taskyard.catalogue.kit import Kit
from taskyard.catalogue.kits import KitsUnusable, Loaded
from taskyard.running import hooks
from taskyard.running.trial import run_task
from taskyard.settings import Settings
from taskyard_worker.child.skills import Skills
from tests.support.packages import install

TASKS = """
from taskyard import task

@task("{name}", queue="reports")
def work(*, context) -> dict:
    return {{"settings": repr(context.settings)}}
"""
SETTINGS = """
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

class BillingSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="BILLING_")
    url: str = "https://billing.example"
    pages: int = 3
"""


def manifest(rest: str, name: str = "billing") -> str:
    return f"from taskyard import Kit\nKIT = Kit('{name}', ('{name}_kit.tasks',), {rest})\n"


Installs = Callable[..., None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installs]:
    """Installs the kit `billing`: its tasks' module, and more of its manifest."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def put(tasks: str = TASKS.format(name="billing.work"), rest: str = "queues=('reports',)", **more: str) -> None:
        modules = {"billing_kit.manifest": manifest(rest), "billing_kit.tasks": tasks, **more}
        install(tmp_path, "acme-billing", modules, kits={"billing": "billing_kit.manifest:KIT"}, extras="billing pdf")

    yield put
    for name in set(sys.modules) - before:
        if name.partition(".")[0].endswith("_kit"):
            del sys.modules[name]


def load(queues: list[str] | None = None, **settings: object) -> Loaded:
    return kits.load(Settings.model_validate(settings), queues)


def names(loaded: Loaded) -> tuple[str, ...]:
    """All but the platform's own, which is always there."""
    assert "taskyard.echo" in loaded.catalogue
    return tuple(name for name in loaded.catalogue.names if name != "taskyard.echo")


def test_a_user_s_kit_is_found_as_ours_are(installed: Installs) -> None:
    installed()
    loaded = load()
    assert loaded.kits["billing.work"].name == "billing"
    assert loaded.kits["email.send"].name == "mail"
    assert "reports" in loaded.queues


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        (["reports"], {"billing.work"}),
        (["reports", "high_priority"], {"billing.work", "health.check", "email.send"}),
        (["default"], {"health.check", "email.send"}),
        (["geo_processing", "selection"], set()),
    ],
)
def test_a_kit_is_loaded_where_it_has_a_queue_in_common_with_the_worker(
    installed: Installs, queues: list[str], expected: set[str]
) -> None:
    installed()
    found = set(load(queues).catalogue.names)
    assert found & {"billing.work", "health.check", "email.send"} == expected
    assert {"reports", "default"} <= load(queues).queues, "a manifest is known though its kit is not loaded"


def test_a_kit_of_all_queues_is_loaded_everywhere(installed: Installs) -> None:
    installed(rest="queues=None")
    assert names(load(["elsewhere"])) == ("billing.work",)


def test_the_setting_names_the_kits_whatever_the_queues(installed: Installs) -> None:
    installed()
    assert names(load(["default"], kits=("billing", "files"))) == (
        "billing.work",
        "files.cleanup_old",
        "files.cleanup_temporary",
        "files.convert_document",
        "files.generate_thumbnail",
        "files.import_data",
        "files.process_large_file",
    )


@pytest.mark.parametrize(("queues", "kit"), [(["geo_processing"], "geo"), (["default", "selection"], "selection")])
def test_a_worker_of_a_kit_that_must_not_be_forked_is_told_which(queues: list[str], kit: str) -> None:
    assert kits.without_fork(Settings(), queues) == kit
    assert kits.without_fork(Settings(), ["default"]) is None


def test_the_platform_s_own_kit_is_loaded_whatever_queues_and_kits_are_set() -> None:
    assert load(["elsewhere"]).kits["taskyard.echo"].name == "taskyard"
    assert "taskyard.echo" in load(["default"], kits=("files",)).catalogue


def test_a_kit_that_is_not_installed_is_refused_by_the_name_of_the_setting() -> None:
    with pytest.raises(KitsUnusable, match=r"^TASKYARD_KITS: there is no kit 'geoo'; installed: .*mail"):
        load(kits=("geoo",))


def test_drills_are_loaded_only_where_the_setting_allows_them() -> None:
    assert "diagnostics.echo" not in load(["default"]).catalogue
    assert "diagnostics.echo" in load(["default"], diagnostics=True).catalogue
    with pytest.raises(KitsUnusable, match="TASKYARD_KITS"):
        load(kits=("diagnostics",))


def test_a_module_of_the_setting_is_loaded_for_all_queues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_one.py").write_text(TASKS.format(name="own.work"))
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = load(["own"], task_modules=("own_one",))
    assert names(loaded) == ("own.work",)
    assert loaded.settings == {"own.work": None, "taskyard.echo": None}
    assert names(load(["own"], task_modules=("own_one",), kits=("mail",))) == (
        "email.send",
        "email.send_newsletter",
        "email.send_password_reset",
        "email.send_verification",
        "email.send_welcome",
        "own.work",
    )


def test_a_kit_whose_library_is_missing_is_left_out_with_one_line_that_says_what_to_install(
    installed: Installs,
) -> None:
    installed(tasks="import no_such_library\n")
    with capture_logs() as lines:
        loaded = load()
        for kit in loaded.left_out:
            kit.log()
    assert "email.send" in loaded.catalogue
    assert lines == [
        {
            "event": "kit_left_out",
            "log_level": "warning",
            "kit": "billing",
            "module": "billing_kit.tasks",
            "error": "ModuleNotFoundError: No module named 'no_such_library'",
            "install": "acme-billing[billing]",
        }
    ]


def test_a_kit_whose_tasks_would_import_a_missing_library_is_left_out_like_one_whose_modules_do(
    installed: Installs,
) -> None:
    installed(rest="libraries=('json', 'no_such_library')")
    (left_out,) = load().left_out
    assert (left_out.kit, left_out.module) == ("billing", "billing_kit.tasks")
    assert left_out.error == "ModuleNotFoundError: No module named 'no_such_library'"
    assert left_out.install == "acme-billing[billing]"


def test_libraries_that_tasks_import_are_not_imported_to_look_for_them(installed: Installs) -> None:
    installed(rest="libraries=('own_library',)", own_library="raise RuntimeError('imported')")
    assert load().left_out == ()


def test_a_kit_whose_settings_need_a_missing_library_is_left_out(installed: Installs) -> None:
    installed(rest="settings='billing_kit.settings:Settings'", **{"billing_kit.settings": "import no_such_library"})
    (left_out,) = load().left_out
    assert (left_out.kit, left_out.module) == ("billing", "billing_kit.settings")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tasks": "1 / 0"}, "the kit 'billing', billing_kit.tasks: ZeroDivisionError: division by zero"),
        ({"tasks": TASKS.format(name="email.send")}, "'email.send' is declared twice: billing, mail"),
        ({"rest": "queues='x' / 2"}, "the kit 'billing' (billing_kit.manifest:KIT): TypeError: "),
        (
            {"tasks": "from .manifest import KITT"},
            "the kit 'billing', billing_kit.tasks: ImportError: ",
        ),
        (
            {"tasks": "from . import word"},
            "the kit 'billing', billing_kit.tasks: ImportError: ",
        ),
        ({"rest": "settings='billing_kit.manifest:Nothing'"}, "the settings of the kit 'billing': "),
        ({"rest": "settings='billing_kit.nowhere:Settings'"}, "the kit 'billing', billing_kit.nowhere: "),
    ],
)
def test_whatever_else_is_wrong_with_a_kit_is_one_line_that_names_it(
    installed: Installs, given: dict[str, str], said: str
) -> None:
    installed(**given)
    with pytest.raises(KitsUnusable) as caught:
        load().settings  # noqa: B018
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_library", "TASKYARD_TASK_MODULES: ModuleNotFoundError: No module named 'no_such_library'"),
        ("def", "TASKYARD_TASK_MODULES: SyntaxError: "),
    ],
)
def test_a_module_of_the_setting_that_cannot_be_imported_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    name = f"own_wrong_{len(text)}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KitsUnusable, match=f"^{said}"):
        load(task_modules=(name,))


def test_what_a_kit_imports_to_submit_it_stays_the_other_kit_s(installed: Installs) -> None:
    installed(tasks="from taskyard_kits.mail.tasks import send\n" + TASKS.format(name="billing.work"))
    assert names(load(["reports"])) == ("billing.work",)


def test_a_kit_may_gather_its_types_in_one_module(installed: Installs) -> None:
    installed(tasks="from .work import work\n", **{"billing_kit.work": TASKS.format(name="billing.work")})
    assert names(load(["reports"])) == ("billing.work",)


def test_a_task_gets_the_settings_of_its_kit(installed: Installs, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(rest="settings='billing_kit.settings:BillingSettings'", **{"billing_kit.settings": SETTINGS})
    monkeypatch.setenv("BILLING_PAGES", "7")
    assert run_task("billing.work", {}).result == {
        "settings": "BillingSettings(url='https://billing.example', pages=7)",
    }
    monkeypatch.setenv("BILLING_PAGES", "many")
    with pytest.raises(KitsUnusable, match=r"^BILLING_PAGES: "):
        load().settings  # noqa: B018


def test_no_kit_of_ours_gets_the_database_or_the_secret_keys() -> None:
    platform_s_own = {"database_url", "secret_keys", "bootstrap_key", "api_key"}
    assert platform_s_own <= set(Settings.model_fields)
    for name, settings in load(diagnostics=True).settings.items():
        assert settings is None or platform_s_own.isdisjoint(type(settings).model_fields), name


@pytest.mark.parametrize("name", ["", "Mail", "a b", "x" * 64, "1st"])
def test_a_kit_s_name_has_a_form(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a kit"):
        Kit(name, ())


@pytest.mark.parametrize("kit", ["mail", "files", "health", "diagnostics"])
def test_a_manifest_imports_no_library(kit: str) -> None:
    program = (
        "import sys, taskyard.catalogue.kits; before = set(sys.modules);"
        f"import taskyard_kits.{kit}; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) == {"taskyard_kits", f"taskyard_kits.{kit}"}


def test_a_worker_has_no_library_in_memory_that_its_kits_only_need_in_tasks() -> None:
    program = (
        "import sys; from taskyard.catalogue import kits; from taskyard.settings import Settings;"
        "loaded = kits.load(Settings(kits=('files', 'mail')));"
        "needed = {library for kit in set(loaded.kits.values()) for library in kit.libraries};"
        "print(len(loaded.kits), len(needed), sorted(needed & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    types, libraries, imported = done.stdout.split(maxsplit=2)
    assert (int(types) > 5, int(libraries) > 5, imported.strip()) == (True, True, "[]")


HOOK = """
from taskyard import Hook

class Billed(Hook):
    def before_run(self, run):
        pass
"""


def names_of_hooks(loaded: Loaded) -> list[str]:
    return [hooks.name_of(hook) for hook in hooks.make(loaded.hooks)]


def test_a_kit_s_hooks_are_loaded_with_it(installed: Installs) -> None:
    installed(rest="queues=('reports',), hooks=('billing_kit.hooks:Billed',)", **{"billing_kit.hooks": HOOK})
    assert names_of_hooks(load(["reports"])) == ["billing_kit.hooks:Billed"]
    assert names_of_hooks(load(["default"])) == []
    assert names_of_hooks(load(kits=["mail"])) == []


def test_a_kit_may_hold_hooks_alone(installed: Installs) -> None:
    alone = "from taskyard import Kit\nKIT = Kit('billing', (), hooks=('billing_kit.hooks:Billed',))\n"
    installed(**{"billing_kit.manifest": alone, "billing_kit.hooks": HOOK})
    assert names_of_hooks(load(["default"])) == ["billing_kit.hooks:Billed"]


def test_a_module_of_the_setting_brings_the_hooks_of_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_hooks_kit.py").write_text(f"{HOOK}\nHOOKS = [Billed(), Billed]\n")
    assert names_of_hooks(load(task_modules=["own_hooks_kit"])) == ["own_hooks_kit:Billed"] * 2
    sys.modules.pop("own_hooks_kit")
    (tmp_path / "own_hooks_kit.py").write_text(f"{HOOK}\nHOOKS = Billed()   # forgot the brackets\n")
    with pytest.raises(KitsUnusable, match=r"own_hooks_kit\.HOOKS must be a list or a tuple"):
        load(task_modules=["own_hooks_kit"])
    sys.modules.pop("own_hooks_kit")


def test_a_kit_whose_hook_misses_a_library_is_left_out(installed: Installs) -> None:
    installed(rest="hooks=('billing_kit.hooks:Billed',)", **{"billing_kit.hooks": "import no_such_library"})
    loaded = load()
    assert [(one.kit, one.module) for one in loaded.left_out] == [("billing", "billing_kit.hooks")]
    assert "billing.work" not in loaded.catalogue
    assert loaded.hooks == ()


def test_a_hook_that_is_not_there_is_one_line_that_names_it(installed: Installs) -> None:
    installed(rest="hooks=('billing_kit.hooks:Gone',)", **{"billing_kit.hooks": HOOK})
    with pytest.raises(KitsUnusable, match=r"^the kit 'billing': there is no hook 'billing_kit\.hooks:Gone'$"):
        load()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("class Billed: pass", "does not derive from taskyard.Hook"),
        ("Billed = 7", "7 does not derive from taskyard.Hook"),
        (f"{HOOK}\n    def __init__(self, url): pass", "missing 1 required positional argument: 'url'"),
        (f"{HOOK}\n    async def after_run(self, run, outcome): pass", "after_run is `async def`"),
    ],
)
def test_what_is_wrong_with_a_hook_is_one_line_that_names_it(installed: Installs, body: str, said: str) -> None:
    installed(rest="hooks=('billing_kit.hooks:Billed',)", **{"billing_kit.hooks": body})
    with pytest.raises(KitsUnusable) as refused:
        Skills.load(Settings(), ["reports"])
    assert str(refused.value).startswith("the hook billing_kit.hooks:Billed: TypeError: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
