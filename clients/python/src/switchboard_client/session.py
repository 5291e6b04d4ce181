"""The subscriptions of a client, across sessions: each session is asked for all of them, from where they were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from random import random

from .codec import Command
from .errors import SwitchboardError
from .frames import Gap, Join, Leave, Message, Position, Reply, Subscribed, Unsubscribed, WireError
from .machine.backoff import backoff
from .machine.place import Place
from .requests import of_wire
from .subscription import Subscription, SubscriptionHost
from .timing import Timing


class Session:
    """Subscriptions by channel."""

    def __init__(
        self,
        *,
        host: SubscriptionHost,
        timing: Timing,
        inbox_max: int,
        next_id: Callable[[], int],
        send: Callable[[Sequence[Command]], None],
        found: Callable[[Subscription], None],
        stuck: Callable[[str], None],
    ) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self._host = host
        self._timing = timing
        self._inbox_max = inbox_max
        self._next_id = next_id
        self._send = send
        self._found = found
        """The server subscribed a channel that nobody here had asked for."""
        self._stuck = stuck
        """A subscribe was not answered in time: the session is of no use."""
        self._places: dict[Subscription, Place] = {}
        self._asked: dict[int, Subscription] = {}
        """What was asked of the present session and is not answered, by the command's id."""
        self._asked_anew: set[str] = set()
        """Channels of which the server's hand began elsewhere, asked anew once a session."""
        self._is_open = False
        self._attempt = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._retries: dict[Subscription, asyncio.TimerHandle] = {}

    def subscribe(
        self, channel: str, *, position: Position | None = None, rewind: int | None = None, token: str | None = None
    ) -> Subscription:
        """The subscription of a channel: a new one, or the one that there is."""
        known = self.subscriptions.get(channel)
        if known is not None:
            return known
        subscription = self._make(channel, position=position, rewind=rewind, token=token)
        if self._is_open:
            self._ask([subscription])
        return subscription

    def leave(self, subscription: Subscription) -> None:
        if self.subscriptions.get(subscription.channel) is not subscription:
            return
        if self._is_open:
            self._send([{"id": self._next_id(), "unsubscribe": {"channel": subscription.channel}}])
        self._end(subscription, None)

    def opened(self) -> None:
        """A session stands: it is asked for all channels, each from where it was."""
        self._is_open = True
        self._forget()
        for place in self._places.values():
            place.lost()
        self._ask(self.subscriptions.values())

    def lost(self) -> None:
        """The session is gone."""
        self._is_open = False
        self._forget()
        for subscription, place in self._places.items():
            place.lost()
            subscription.tell()

    def end(self, error: SwitchboardError | None) -> None:
        """Ends all subscriptions."""
        self._is_open = False
        self._forget()
        for subscription in list(self.subscriptions.values()):
            self._end(subscription, error)

    def answer(self, reply: Reply) -> None:
        """A reply that no request awaits."""
        subscription = self._asked.get(reply.id)
        if subscription is None:
            return
        error = reply.error
        # The session has it, by the server's hand or by a POST whose answer was late: `subscribed` says from where.
        if error is not None and error.code == "already_subscribed":
            return
        self._answered(subscription)
        if error is None:
            self._attempt = 0
            subscription.begin(Subscribed.read(reply.result, subscription.channel))
        elif error.retryable:
            self._later(subscription, error)
        else:
            self._end(subscription, of_wire(error))

    def take(self, frame: Message | Gap | Join | Leave | Subscribed | Unsubscribed) -> None:
        """A frame of some channel."""
        if isinstance(frame, Subscribed):
            return self._subscribed(frame)
        subscription = self.subscriptions.get(frame.channel)
        if subscription is None:
            return None
        if not isinstance(frame, Unsubscribed):
            subscription.take(frame)
        elif frame.resubscribe:
            self._places[subscription].lost()
            subscription.tell()
            self._ask([subscription])
        else:
            self._end(subscription, SwitchboardError("closed", frame.reason or "the server unsubscribed it"))
        return None

    def _subscribed(self, result: Subscribed) -> None:
        channel = result.channel
        subscription = self.subscriptions.get(channel)
        if subscription is None:
            subscription = self._make(channel)
            self._found(subscription)
        place = self._places[subscription]
        if place.state == "subscribing" and place.must_ask_anew(result) and channel not in self._asked_anew:
            # The server began this channel by itself, with what is published from now on. What was missed has to be asked for.
            self._asked_anew.add(channel)
            self._answered(subscription)
            self._send([{"id": self._next_id(), "unsubscribe": {"channel": channel}}])
            self._ask([subscription])
            return
        self._answered(subscription)
        subscription.begin(result)

    def _make(
        self,
        channel: str,
        *,
        position: Position | None = None,
        rewind: int | None = None,
        token: str | None = None,
    ) -> Subscription:
        place = Place(channel, position=position, rewind=rewind, token=token)
        subscription = Subscription(self._host, place, self._inbox_max)
        self.subscriptions[channel] = subscription
        self._places[subscription] = place
        return subscription

    def _ask(self, subscriptions: Iterable[Subscription]) -> None:
        commands: list[Command] = []
        for subscription in subscriptions:
            number = self._next_id()
            self._asked[number] = subscription
            commands.append({"id": number, "subscribe": self._places[subscription].ask()})
        if not commands:
            return
        self._send(commands)
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(self._timing.open, self._check)

    def _check(self) -> None:
        for subscription in self._asked.values():
            return self._stuck(f"subscribing {subscription.channel} was not answered")

    def _later(self, subscription: Subscription, error: WireError) -> None:
        def again() -> None:
            self._retries.pop(subscription, None)
            if self._is_open and subscription.state == "subscribing":
                self._ask([subscription])

        timing = self._timing
        wait = error.retry_after or backoff(self._attempt, random(), base=timing.backoff_base, cap=timing.backoff_cap)
        self._attempt += 1
        self._retries[subscription] = asyncio.get_running_loop().call_later(wait, again)

    def _answered(self, subscription: Subscription) -> None:
        for number in [number for number, asked in self._asked.items() if asked is subscription]:
            del self._asked[number]

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        for retry in self._retries.values():
            retry.cancel()
        self._retries.clear()
        self._asked.clear()
        self._asked_anew.clear()

    def _end(self, subscription: Subscription, error: SwitchboardError | None) -> None:
        self._answered(subscription)
        retry = self._retries.pop(subscription, None)
        if retry is not None:
            retry.cancel()
        del self.subscriptions[subscription.channel]
        del self._places[subscription]
        subscription.fail(error)
