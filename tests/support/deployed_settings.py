"""Which variables the deployed services read, for the tests of the files that give them."""

from taskyard.settings import Settings
from taskyard_kits.health.settings import HealthSettings
from taskyard_kits.mail.settings import MailSettings
from taskyard_kits.models.settings import ProviderSettings
from taskyard_kits.payments.settings import PaymentSettings
from taskyard_kits.selection.settings import SelectionSettings

OF_WORKERS = (HealthSettings, MailSettings, PaymentSettings, ProviderSettings, SelectionSettings)
# Read by boto3 itself.
OF_BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def names_of_settings(*, of_kits: bool = True) -> set[str]:
    classes = (Settings, *(OF_WORKERS if of_kits else ()))
    fields = [field for each in classes for field in each.model_fields.values()]
    return {str(name) for field in fields for name in getattr(field.validation_alias, "choices", ())}
