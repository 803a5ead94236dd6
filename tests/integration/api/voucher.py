"""A user's task type, with words of its error in two languages, one of which the platform does not have."""

from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.retry import RetryPolicy

VOUCHER = TaskType(
    name="tests.voucher",
    description="Redeems a voucher.",
    params=Params,
    result=Result,
    retry=RetryPolicy(give_up_on=(KeyError,)),
    errors={
        "voucher_expired": {
            "en": "The voucher {voucher} expired {days} days ago.",
            "nl": "Bon {voucher} is {days} dagen verlopen.",
        }
    },
)
