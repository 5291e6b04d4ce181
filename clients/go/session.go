package switchboard

import (
	"math/rand/v2"
	"time"
)

// The subscriptions of a client, across sessions: each session is asked for all of them, from where they were. All of it is called with
// the client's lock held.

type session struct {
	subscriptions map[string]*Subscription
	// asked is what was asked of the present session and is not answered, by the command's id.
	asked map[uint64]*Subscription
	// askedAnew are channels of which the server's hand began elsewhere, asked anew once a session.
	askedAnew map[string]bool
	attempt   int
	deadline  *time.Timer
	retries   map[*Subscription]*time.Timer
}

func (c *Client) makeSubscription(channel string, start Start) *Subscription {
	made := &Subscription{
		client:  c,
		place:   place{channel: channel, position: start.Position, rewind: start.Rewind, token: start.Token},
		changed: make(chan struct{}),
		max:     c.options.InboxMax,
		read:    start.Position,
		ready:   make(chan struct{}, 1),
	}
	c.session.subscriptions[channel] = made
	return made
}

// askAll: a session stands; it is asked for all channels, each from where it was.
func (c *Client) askAll() {
	c.forgetAsked()
	for _, subscription := range c.session.subscriptions {
		subscription.place.lost()
		c.askFor(subscription)
	}
}

func (c *Client) askFor(subscription *Subscription) {
	if c.link == nil {
		return
	}
	id := c.nextID()
	c.session.asked[id] = subscription
	c.sendCommand(command{id, "subscribe", subscription.place.ask()})
	if c.session.deadline != nil {
		c.session.deadline.Stop()
	}
	asked := c.link
	c.session.deadline = time.AfterFunc(c.timing.Open, func() {
		c.mu.Lock()
		defer c.unlock()
		// Not answered in time: the session is of no use.
		if c.link == asked && len(c.session.asked) > 0 {
			asked.over()
		}
	})
}

// loseSubscriptions: the session is gone.
func (c *Client) loseSubscriptions() {
	c.forgetAsked()
	for _, subscription := range c.session.subscriptions {
		subscription.place.lost()
		subscription.tell()
	}
}

// answerSubscribe takes in a reply that no request awaits.
func (c *Client) answerSubscribe(answer reply) {
	subscription, is := c.session.asked[answer.ID]
	// Where the session has it already, by the server's hand, `subscribed` says from where.
	if !is || answer.Error != nil && answer.Error.Code == "already_subscribed" {
		return
	}
	c.answered(subscription)
	switch {
	case answer.Subscribe != nil:
		c.session.attempt = 0
		subscription.begin(*answer.Subscribe)
	case answer.Error == nil:
		c.endSubscription(subscription, failure("internal", "a reply without a result"))
	case answer.Error.Retryable:
		c.askLater(subscription, *answer.Error)
	default:
		c.endSubscription(subscription, answer.Error.failure())
	}
}

func (c *Client) askLater(subscription *Subscription, told wireError) {
	wait := time.Duration(told.RetryAfter) * time.Millisecond
	if wait == 0 {
		wait = backoff(c.session.attempt, rand.Float64(), c.timing)
	}
	c.session.attempt++
	asked := c.link
	c.session.retries[subscription] = time.AfterFunc(wait, func() {
		c.mu.Lock()
		defer c.unlock()
		delete(c.session.retries, subscription)
		if c.link == asked && subscription.place.state == Subscribing {
			c.askFor(subscription)
		}
	})
}

// takeFrame takes in a frame of some channel.
func (c *Client) takeFrame(received frame) {
	if received.Subscribed != nil {
		c.subscribed(*received.Subscribed)
		return
	}
	subscription := c.session.subscriptions[channelOf(received)]
	if subscription == nil {
		return
	}
	left := received.Unsubscribed
	switch {
	case left == nil:
		subscription.receive(received)
	case left.Resubscribe:
		subscription.place.lost()
		subscription.tell()
		c.askFor(subscription)
	default:
		message := left.Reason
		if message == "" {
			message = "the server unsubscribed it"
		}
		c.endSubscription(subscription, failure("closed", "%s", message))
	}
}

func channelOf(received frame) string {
	switch {
	case received.Message != nil:
		return received.Message.Channel
	case received.Gap != nil:
		return received.Gap.Channel
	case received.Join != nil:
		return received.Join.Channel
	case received.Leave != nil:
		return received.Leave.Channel
	case received.Unsubscribed != nil:
		return received.Unsubscribed.Channel
	}
	return ""
}

func (c *Client) subscribed(result SubscribeResult) {
	subscription := c.session.subscriptions[result.Channel]
	if subscription == nil {
		subscription = c.makeSubscription(result.Channel, Start{})
		c.note(Found{subscription})
	}
	mine := &subscription.place
	if mine.state == Subscribing && mine.mustAskAnew(result) && !c.session.askedAnew[result.Channel] {
		// The server began this channel by itself, with what is published from now on. What was missed has to be asked for.
		c.session.askedAnew[result.Channel] = true
		c.answered(subscription)
		c.sendCommand(command{c.nextID(), "unsubscribe", channelBody{result.Channel}})
		c.askFor(subscription)
		return
	}
	c.answered(subscription)
	subscription.begin(result)
}

func (c *Client) answered(subscription *Subscription) {
	for id, asked := range c.session.asked {
		if asked == subscription {
			delete(c.session.asked, id)
		}
	}
}

func (c *Client) forgetAsked() {
	if c.session.deadline != nil {
		c.session.deadline.Stop()
	}
	for _, retry := range c.session.retries {
		retry.Stop()
	}
	clear(c.session.retries)
	clear(c.session.asked)
	clear(c.session.askedAnew)
}

func (c *Client) endSubscription(subscription *Subscription, err error) {
	c.answered(subscription)
	if retry := c.session.retries[subscription]; retry != nil {
		retry.Stop()
		delete(c.session.retries, subscription)
	}
	delete(c.session.subscriptions, subscription.place.channel)
	subscription.end(err)
}
