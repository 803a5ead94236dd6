"""A task that changes the application's own rows."""

from taskyard import TaskContext, TaskError, task

from .database import session
from .models import Order

ERRORS = {
    "unknown_order": {
        "en": "There is no order {order}.",
        "de": "Es gibt keine Bestellung {order}.",
    },
    "already_shipped": {
        "en": "Order {order} was shipped before.",
        "de": "Bestellung {order} wurde schon versandt.",
    },
}


@task("orders.ship", queue="orders", errors=ERRORS)
async def ship(order_id: int, *, context: TaskContext) -> str:
    """Ships an order, once."""
    async with session(context.settings) as db:
        # Locked: two tasks may be asked to ship the same order.
        order = await db.get(Order, order_id, with_for_update=True)
        if order is None:
            raise TaskError("unknown_order", retryable=False, order=order_id)
        by = str(context.task_id)
        # The worker may have ended between the commit and its report. The next attempt has the same task id.
        if order.shipped_by not in {None, by}:
            raise TaskError("already_shipped", retryable=False, order=order_id)
        order.state, order.shipped_by = "shipped", by
    return order.customer
