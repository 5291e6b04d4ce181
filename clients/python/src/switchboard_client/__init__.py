"""Client of the Switchboard realtime hub.

Reading order: ``client`` (what an application holds), ``subscription``, ``session`` (subscriptions across sessions), ``connection``
(which link when), ``machine`` (what is decided, without I/O), ``transport`` (WebSocket and SSE), ``frames`` and ``codec`` (the wire).
``service`` is apart: the gRPC API for services. Not here: long poll, which is for browsers behind proxies, and the protobuf format.
"""

from .client import Client, ClientEvent, ConnectionState, Direct, Found, Opened, StateChanged, Stopped
from .errors import SwitchboardError
from .frames import (
    Gap,
    HistoryPage,
    Join,
    Leave,
    Member,
    Message,
    Open,
    Policy,
    Position,
    PresencePage,
    Sender,
    Subscribed,
)
from .machine.ladder import TransportName
from .machine.place import SubscriptionState
from .subscription import Event, Subscription
from .timing import Timing
from .tokens import GetToken, TokenReason

__all__ = [
    "Client",
    "ClientEvent",
    "ConnectionState",
    "Direct",
    "Event",
    "Found",
    "Gap",
    "GetToken",
    "HistoryPage",
    "Join",
    "Leave",
    "Member",
    "Message",
    "Open",
    "Opened",
    "Policy",
    "Position",
    "PresencePage",
    "Sender",
    "StateChanged",
    "Stopped",
    "Subscribed",
    "Subscription",
    "SubscriptionState",
    "SwitchboardError",
    "Timing",
    "TokenReason",
    "TransportName",
]
