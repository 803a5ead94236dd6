"""selection.run_select: a panel is drawn by lot from people, so that it meets quotas."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec

from taskyard import TaskContext, TaskError, task
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import keep, kept

from . import results, sources
from .declarations import MAX_SEED, RunSelectParams, RunSelectResult
from .draws import draw
from .google import rules as google_rules
from .google import words as google_words
from .google.spreadsheets import Spreadsheet, spreadsheet_of
from .google.tables import write_tabs
from .rules import DRAW_RULE
from .stages import READING, STORING, WRITING
from .tables import PEOPLE, QUOTAS
from .words import PHRASES, RUN_SELECT_ERRORS

# Only the processes that draw import it. A worker without it leaves this kit out.
if find_spec("sortition_algorithms") is None:
    raise ModuleNotFoundError("No module named 'sortition_algorithms'", name="sortition_algorithms")


@task(
    "selection.run_select",
    queue="selection",
    soft_limit=timedelta(minutes=59),
    hard_limit=timedelta(minutes=60),
    rules=(DRAW_RULE, *google_rules.READ_RULES),
    errors={**RUN_SELECT_ERRORS, **google_words.ERRORS},
    phrases={**PHRASES, **google_words.PHRASES},
)
def run_select(params: RunSelectParams, *, context: TaskContext) -> RunSelectResult:
    """Draws a panel by lot that meets quotas, and stores the selected and the remaining people."""
    sheet = None if params.output is None else spreadsheet_of(context, params.output.gsheet_id)
    if made := kept(context):
        context.log("An earlier attempt drew the panel already.")
        return _delivered(context, sheet, made, results.result_of_kept(context, made))
    if sheet is not None:
        sheet.check_writable()
    context.progress(READING.begin, 100, "Reading the tables")
    people = sources.read(params.feature_data, PEOPLE, context)
    quotas = sources.read(params.quota_data, QUOTAS, context)
    own = params.selection_params
    seed = own.random_seed or secrets.randbelow(MAX_SEED) + 1
    context.log(f"The random seed is {seed}.")
    try:
        drawn = draw(people, quotas, own, seed, context)
    except TaskError as e:
        # Another seed may be luckier, where none is asked for.
        e.retryable = e.retryable and not (e.code == "selection_failed" and own.random_seed is not None)
        raise
    context.progress(STORING.begin, 100, "Storing the lists")
    record = results.record_of(drawn, seed)
    items = keep(context, results.files_of(drawn, people, record))
    return _delivered(context, sheet, items, results.result_of(items, record))


def _delivered(
    context: TaskContext, sheet: Spreadsheet | None, items: Sequence[TreeItem], result: RunSelectResult
) -> RunSelectResult:
    """The result, once the lists are in tabs, too, where that is asked for."""
    if sheet is not None:
        context.progress(WRITING.begin, 100, "Writing the tabs")
        selected, remaining = results.lists_of(items)
        titles = write_tabs(context, sheet, selected, remaining)
        result = result.model_copy(update=dict(zip(("selected_tab", "remaining_tab"), titles, strict=True)))
    context.progress(WRITING.end, 100, "Done")
    return result
