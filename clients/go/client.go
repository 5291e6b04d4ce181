package switchboard

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"
)

// State is where a client stands.
type State int

// A client is Connecting until it has a session, and again after each loss; Disconnected once it is closed or has stopped for good.
const (
	Disconnected State = iota
	Connecting
	Connected
)

// String gives the state as the other clients spell it.
func (s State) String() string { return [...]string{"disconnected", "connecting", "connected"}[s] }

// TokenReason is why a token is asked for.
type TokenReason string

// A token is asked for at the first connection, before the present one ends, and when one was refused.
const (
	ForConnect  TokenReason = "connect"
	ForExpiring TokenReason = "expiring"
	ForRefused  TokenReason = "refused"
)

// Options are what a client is made with; the zero value will do where the hub lets anonymous clients in.
type Options struct {
	// Token is a token for good.
	Token string
	// GetToken fetches tokens. An [*Error] with the code permission_denied or unauthenticated stops the client; after other errors it is
	// asked again.
	GetToken func(ctx context.Context, reason TokenReason) (string, error)
	Timing   Timing
	// InboxMax bounds the events that wait for a subscription's reader. Default 1000.
	InboxMax int
	// OnEvent is told what happens to the connection, in order. It must not block, and may call the client.
	OnEvent func(ClientEvent)
	// HTTPClient opens connections. Default: http.DefaultClient.
	HTTPClient *http.Client
}

// ClientEvent is what a client tells: [StateChanged], [Opened], [Direct], [Found], [Stopped] or [EventsDropped].
type ClientEvent interface{ clientEvent() }

// StateChanged tells the client's state; after a loss with its code and message.
type StateChanged struct {
	State         State
	Code, Message string
}

// Opened tells that a session began; Moved: in place of one that went on until now, without a break.
type Opened struct {
	Session Session
	Moved   bool
}

// Direct is what a service sent to this session or user, past all channels.
type Direct struct{ Message Message }

// Found tells that the server subscribed this session to a channel that was not asked for here.
type Found struct{ Subscription *Subscription }

// Stopped tells that the client stopped, and not because it was closed.
type Stopped struct{ Err *Error }

// EventsDropped tells that OnEvent blocked for so long that events were lost.
type EventsDropped struct{ Count int }

func (StateChanged) clientEvent()  {}
func (Opened) clientEvent()        {}
func (Direct) clientEvent()        {}
func (Found) clientEvent()         {}
func (Stopped) clientEvent()       {}
func (EventsDropped) clientEvent() {}

// Client is a connection to a hub, with its subscriptions. It is for use by any number of goroutines.
type Client struct {
	base    string
	options Options
	timing  Timing
	// ctx is the client's life.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	moving  sync.WaitGroup

	mu          sync.Mutex
	state       State
	link        *link
	err         *Error
	closed      bool
	changed     chan struct{}
	lastID      uint64
	requests    map[uint64]*request
	session     session
	token       string
	tokenEndsAt time.Time
	renewal     *time.Timer
	isRenewing  bool
	events      []ClientEvent
	dropped     int
	isTelling   bool
}

// New makes a client of the hub at an address such as https://hub.example.com, which begins to connect. Close ends it.
func New(url string, options Options) *Client {
	if options.InboxMax == 0 {
		options.InboxMax = inboxMax
	}
	base := strings.TrimRight(url, "/")
	if rest, is := strings.CutPrefix(base, "ws"); is {
		base = "http" + rest
	}
	c := &Client{
		base:     base,
		options:  options,
		timing:   options.Timing.withDefaults(),
		changed:  make(chan struct{}),
		requests: map[uint64]*request{},
		session: session{
			subscriptions: map[string]*Subscription{},
			asked:         map[uint64]*Subscription{},
			askedAnew:     map[string]bool{},
			retries:       map[*Subscription]*time.Timer{},
		},
		token: options.Token,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	c.enter(StateChanged{State: Connecting})
	c.running.Add(1)
	go c.run(c.ctx)
	c.unlock()
	return c
}

// Close ends the session, all subscriptions and whatever was asked. When it returns nothing of the client is left running.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	present := c.link
	if c.renewal != nil {
		c.renewal.Stop()
	}
	c.unlock()
	if present != nil {
		c.leaveLink(present)
	}
	c.cancel()
	c.running.Wait()
}

// State is where the client stands.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.unlock()
	return c.state
}

// Ready waits for a session. It fails with an [*Error] when the client has stopped.
func (c *Client) Ready(ctx context.Context) (Session, error) {
	for {
		c.mu.Lock()
		present, err, changed, isOver := c.link, c.err, c.changed, c.closed
		c.unlock()
		switch {
		case err != nil:
			return Session{}, err
		case isOver:
			return Session{}, failure("disconnected", "the client is closed")
		case present != nil:
			return present.opened, nil
		}
		select {
		case <-ctx.Done():
			return Session{}, ended(ctx, "connecting")
		case <-changed:
		}
	}
}

// Subscribe subscribes a channel and waits until the hub has it. Where the client has the channel already, it gives that subscription.
// When the context is over first, a subscription that was made here ends.
func (c *Client) Subscribe(ctx context.Context, channel string, start Start) (*Subscription, error) {
	c.mu.Lock()
	subscription, known := c.session.subscriptions[channel]
	if !known {
		if c.closed || c.err != nil {
			defer c.unlock()
			if c.err != nil {
				return nil, c.err
			}
			return nil, failure("disconnected", "the client is closed")
		}
		subscription = c.makeSubscription(channel, start)
		c.askFor(subscription)
	}
	c.unlock()
	for {
		c.mu.Lock()
		state, changed := subscription.place.state, subscription.changed
		c.unlock()
		switch state {
		case Subscribed:
			return subscription, nil
		case Unsubscribed:
			subscription.mu.Lock()
			defer subscription.mu.Unlock()
			return nil, subscription.err
		}
		select {
		case <-ctx.Done():
			if !known {
				subscription.Unsubscribe()
			}
			return nil, ended(ctx, "subscribing "+channel)
		case <-changed:
		}
	}
}

// Subscription gives the subscription of a channel; nil where there is none.
func (c *Client) Subscription(channel string) *Subscription {
	c.mu.Lock()
	defer c.unlock()
	return c.session.subscriptions[channel]
}

// PublishOption is an option of a publish.
type PublishOption func(*publishBody)

// WithID gives a publish its idempotency id: the same one publishes once. By default it is a random one.
func WithID(id string) PublishOption { return func(body *publishBody) { body.ID = id } }

// Publish publishes a value as JSON, or bytes as they are, and gives its position. It is repeated until it is answered or its context is
// over, with an idempotency id: so it happens once.
func (c *Client) Publish(ctx context.Context, channel string, data any, options ...PublishOption) (Position, error) {
	written, err := writePayload(data)
	if err != nil {
		return Position{}, err
	}
	body := publishBody{Channel: channel, payload: written, ID: randomID()}
	for _, option := range options {
		option(&body)
	}
	answer, err := c.ask(ctx, "publish", body, true)
	if err != nil || answer.Publish == nil {
		return Position{}, err
	}
	return answer.Publish.Position, nil
}

// Presence says who is present: a page of at most limit members, or as many as the hub likes where limit is nil. page is the NextPage of
// the page before.
func (c *Client) Presence(ctx context.Context, channel string, limit *uint32, page string) (PresencePage, error) {
	answer, err := c.ask(ctx, "presence", presenceBody{channel, limit, page}, true)
	if err != nil || answer.Presence == nil {
		return PresencePage{}, err
	}
	return *answer.Presence, nil
}

// HistoryQuery is what to read of a channel's history; the zero value: from the oldest retained, as many as the hub likes.
type HistoryQuery struct {
	// Position: what came after it, or with Reverse what came before it, nearest first.
	Position *Position
	// Limit: at most so many; 0: only the channel's position.
	Limit   *uint32
	Reverse bool
}

// History reads what a channel retains.
func (c *Client) History(ctx context.Context, channel string, query HistoryQuery) (HistoryPage, error) {
	answer, err := c.ask(ctx, "history", historyBody{channel, query.Position, query.Limit, query.Reverse}, true)
	if err != nil || answer.History == nil {
		return HistoryPage{}, err
	}
	return *answer.History, nil
}

// Call asks a service, and gives its answer: JSON, or bytes. It is not repeated: when the connection is lost before the answer it fails
// with unavailable.
func (c *Client) Call(ctx context.Context, method string, data any) ([]byte, error) {
	written, err := writePayload(data)
	if err != nil {
		return nil, err
	}
	answer, err := c.ask(ctx, "call", callBody{method, written}, false)
	if err != nil || answer.Call == nil {
		return nil, err
	}
	return answer.Call.read()
}

// Ack says that in a durable channel everything up to this offset is done. It returns when the hub keeps it.
func (c *Client) Ack(ctx context.Context, channel string, offset uint64) error {
	_, err := c.ask(ctx, "ack", ackBody{channel, offset}, true)
	return err
}

// Ping gives the hub's time.
func (c *Client) Ping(ctx context.Context) (time.Time, error) {
	answer, err := c.ask(ctx, "ping", struct{}{}, true)
	if err != nil || answer.Ping == nil {
		return time.Time{}, err
	}
	return time.UnixMilli(answer.Ping.Time), nil
}

func (c *Client) leave(subscription *Subscription) {
	c.mu.Lock()
	defer c.unlock()
	if c.session.subscriptions[subscription.place.channel] != subscription {
		return
	}
	c.sendCommand(command{c.nextID(), "unsubscribe", channelBody{subscription.place.channel}})
	c.endSubscription(subscription, ErrUnsubscribed)
}

// adopt makes a link the present one. It says no where the client was closed meanwhile.
func (c *Client) adopt(present *link, moved bool) bool {
	c.mu.Lock()
	defer c.unlock()
	if c.closed {
		return false
	}
	if moved {
		c.loseRequests()
	}
	c.link = present
	if !moved {
		c.enter(StateChanged{State: Connected})
	}
	c.planRenewal(present.opened.ExpiresAt, present.opened.Time)
	c.note(Opened{present.opened, moved})
	c.askAll()
	c.resendRequests()
	return true
}

// lost tells that the session is gone; another one follows, or the client stops.
func (c *Client) lost(told verdict) {
	c.mu.Lock()
	defer c.unlock()
	c.leaveSession()
	if told.next != stop {
		c.enter(StateChanged{Connecting, told.code, told.message})
	}
}

// stopped ends everything; with the reason, where it was not this client's wish.
func (c *Client) stopped(err *Error) {
	c.mu.Lock()
	defer c.unlock()
	c.err, c.closed = err, true
	c.leaveSession()
	if err == nil {
		c.failRequests(failure("disconnected", "the client is closed"))
		c.enter(StateChanged{State: Disconnected})
	} else {
		c.failRequests(err)
		c.enter(StateChanged{Disconnected, err.Code, err.Message})
		c.note(Stopped{err})
	}
	for _, subscription := range c.session.subscriptions {
		var why error = ErrUnsubscribed
		if err != nil {
			why = err
		}
		c.endSubscription(subscription, why)
	}
}

func (c *Client) took(received frame) {
	c.mu.Lock()
	isExpiring := received.Expiring != nil
	switch {
	case received.Reply != nil:
		if !c.answerRequest(*received.Reply) {
			c.answerSubscribe(*received.Reply)
		}
	case received.Message != nil && received.Message.Channel == "":
		c.note(Direct{*received.Message})
	default:
		c.takeFrame(received)
	}
	c.unlock()
	if isExpiring {
		c.startRenewal()
	}
}

// What follows is called with the lock held.

func (c *Client) leaveSession() {
	c.link = nil
	if c.renewal != nil {
		c.renewal.Stop()
	}
	c.loseSubscriptions()
	c.loseRequests()
}

func (c *Client) nextID() uint64 {
	c.lastID++
	return c.lastID
}

func (c *Client) sendCommand(asked command) {
	if c.link == nil {
		return
	}
	// What a subscription asks is always JSON.
	if text, err := asked.write(); err == nil {
		c.link.send(text)
	}
}

func (c *Client) enter(changed StateChanged) {
	c.state = changed.State
	close(c.changed)
	c.changed = make(chan struct{})
	c.note(changed)
}

func (c *Client) note(event ClientEvent) {
	if c.options.OnEvent == nil {
		return
	}
	if len(c.events) >= eventsMax {
		c.events = c.events[1:]
		c.dropped++
	}
	c.events = append(c.events, event)
}

// unlock gives the lock back, and tells what was noted: one goroutine at a time, so that the order holds, and without the lock, so that
// whoever is told may call the client.
func (c *Client) unlock() {
	if c.isTelling {
		c.mu.Unlock()
		return
	}
	c.isTelling = true
	for len(c.events) > 0 {
		var event ClientEvent
		if c.dropped > 0 {
			event = EventsDropped{c.dropped}
			c.dropped = 0
		} else {
			event, c.events = c.events[0], c.events[1:]
		}
		c.mu.Unlock()
		c.options.OnEvent(event)
		c.mu.Lock()
	}
	c.isTelling = false
	c.mu.Unlock()
}

// randomID gives 128 random bits in hexadecimal.
func randomID() string {
	var bits [16]byte
	// It never fails, says its documentation.
	_, _ = rand.Read(bits[:])
	return hex.EncodeToString(bits[:])
}
