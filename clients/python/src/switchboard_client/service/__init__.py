"""The control API, for services: publishing and presence over gRPC. It needs the extra ``switchboard-client[service]``.

``connect`` gives it to asyncio, ``connect_blocking`` to everybody else.
"""

from .blocking import BlockingPresence, BlockingPublisher, BlockingService, connect_blocking
from .connection import Service, connect
from .presence import (
    MemberCount,
    MemberPage,
    Online,
    PresenceEvent,
    PresencePosition,
    PresenceReader,
    Snapshot,
    UserSession,
    WatchedJoin,
    WatchedLeave,
)
from .publisher import Failed, Item, Published, Publisher

__all__ = [
    "BlockingPresence",
    "BlockingPublisher",
    "BlockingService",
    "Failed",
    "Item",
    "MemberCount",
    "MemberPage",
    "Online",
    "PresenceEvent",
    "PresencePosition",
    "PresenceReader",
    "Published",
    "Publisher",
    "Service",
    "Snapshot",
    "UserSession",
    "WatchedJoin",
    "WatchedLeave",
    "connect",
    "connect_blocking",
]
