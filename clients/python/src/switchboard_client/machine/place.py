"""One channel's place in its order of publications, across connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..frames import Gap, Message, Policy, Position, Subscribed

SubscriptionState = Literal["unsubscribed", "subscribing", "subscribed"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do with a publication: hand it on or not, and a gap to tell before it."""

    deliver: bool
    gap: Gap | None = None


class Place:
    """The machine of one subscription: what to ask, and what a frame means."""

    def __init__(
        self, channel: str, *, position: Position | None = None, rewind: int | None = None, token: str | None = None
    ) -> None:
        self.channel = channel
        self.state: SubscriptionState = "subscribing"
        self.position = position
        """The last place received: the next connection goes on after it."""
        self.policy = Policy()
        self._rewind = rewind
        self._token = token

    def ask(self) -> dict[str, Any]:
        """A session stands that does not have the channel yet: what to ask it."""
        self.state = "subscribing"
        asked: dict[str, Any] = {"channel": self.channel}
        if self._token is not None:
            asked["token"] = self._token
        if self.position is not None:
            asked["position"] = self.position.write()
        elif self._rewind:
            asked["rewind"] = self._rewind
        return asked

    def begin(self, result: Subscribed) -> bool:
        """The session has the channel: by the reply, or by ``subscribed``, whichever came first. Says whether that is news."""
        if self.state != "subscribing":
            return False
        self.state = "subscribed"
        self.policy = result.policy
        begins = result.position
        # A session may begin before what was received: what comes twice is told by its offset.
        known = self.position.offset if self.position and self.position.epoch == begins.epoch else 0
        self.position = Position(begins.epoch, max(begins.offset, known) if result.recovered else begins.offset)
        return True

    def must_ask_anew(self, result: Subscribed) -> bool:
        """Whether the server's hand began elsewhere than this subscription has to go on."""
        mine, begins = self.position, result.position
        return mine is not None and not result.recovered and (mine.epoch != begins.epoch or mine.offset < begins.offset)

    def message(self, message: Message) -> Judgement:
        """A publication came."""
        if self.state != "subscribed":
            return Judgement(deliver=False)
        at = self.position
        if message.offset == 0 or at is None:
            return Judgement(deliver=True)
        if message.offset <= at.offset:
            return Judgement(deliver=False)
        self.position = Position(at.epoch, message.offset)
        if message.offset == at.offset + 1:
            return Judgement(deliver=True)
        # The hub announces its holes; one that comes unannounced is told all the same, and never passed over in silence.
        hole = Gap(self.channel, Position(at.epoch, message.offset - 1), "interrupted")
        return Judgement(deliver=True, gap=hole)

    def gap(self, gap: Gap) -> bool:
        """The hub announced a hole: the channel goes on after its position. Says whether it is of the present session."""
        if self.state != "subscribed":
            return False
        self.position = gap.position
        return True

    def lost(self) -> None:
        """The connection is gone, and with it what the session had."""
        if self.state == "subscribed":
            self.state = "subscribing"

    def end(self) -> None:
        """It ends for good."""
        self.state = "unsubscribed"
