"""The models kit: the models that Ollama and LiteLLM offer."""

from taskyard import Kit, StandingSchedule

KIT = Kit(
    "models",
    modules=("taskyard_kits.models.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.models.settings:ModelSettings",
    schedules=(
        StandingSchedule(name="models.refresh_cache half-hourly", task="models.refresh_cache", cron="*/30 * * * *"),
    ),
)
