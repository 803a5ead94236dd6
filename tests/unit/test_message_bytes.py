"""The publisher's encoder writes what Dramatiq would write."""

from uuid import UUID

from taskyard.broker.messages import encoded
from taskyard.domain.tasks import Publication
from tests.support.messages import message_for


def test_the_bytes_are_those_of_dramatiqs_own_encoder() -> None:
    publication = Publication(UUID(int=7), "queue_ü", 3)
    message = message_for(publication)
    written = encoded(publication, publication.message_id, message.message_timestamp)
    assert type(message).decode(written) == message
    plain = Publication(UUID(int=7), "default", 3)
    message = message_for(plain)
    assert encoded(plain, plain.message_id, message.message_timestamp) == message.encode()
