package switchboard

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// ErrUnsubscribed ends the reading of a subscription that its own client has ended.
var ErrUnsubscribed = errors.New("unsubscribed")

// Start is where a subscription begins. The zero value: with what is published from now on, or in a durable channel after what was
// acknowledged.
type Start struct {
	// Rewind begins with the last so many publications.
	Rewind uint32
	// Position begins after a place that was kept from an earlier visit.
	Position *Position
	// Token grants this one channel.
	Token string
}

type entry struct {
	event    Event
	position *Position
}

// Subscription is one channel. It outlives connections.
//
// Events wait for their reader from the moment it is made. Where more of them wait than the client's InboxMax, the oldest are dropped
// and a gap with the reason slow_consumer is told in their place. An event goes to one reader.
type Subscription struct {
	client *Client
	// place, result and waiters are guarded by the client's lock.
	place   place
	result  SubscribeResult
	changed chan struct{}

	mu      sync.Mutex
	inbox   []entry
	max     int
	read    *Position
	dropped *Position
	err     error
	// ready holds a token while there is something to read.
	ready chan struct{}
}

// Channel is the channel's name.
func (s *Subscription) Channel() string { return s.place.channel }

// State is where it stands.
func (s *Subscription) State() SubscriptionState {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.place.state
}

// Result is how it began in the present session, or in the one before while there is none.
func (s *Subscription) Result() SubscribeResult {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.result
}

// Position is the place of the last event that was read here; nil before the first begin. Keep it to begin there at another time.
func (s *Subscription) Position() *Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

// Next waits for the next event: a [Message], a [Gap], a [Join] or a [Leave], in their order. It fails with [ErrUnsubscribed] after
// Unsubscribe, with an [*Error] where the hub ended or refused the subscription, and with the context's error.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		if event, err := s.take(); event != nil || err != nil {
			return event, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ready:
		}
	}
}

// Events reads until the context or the subscription ends; the last pair has an error, but after Unsubscribe.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			event, err := s.Next(ctx)
			if errors.Is(err, ErrUnsubscribed) || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Unsubscribe ends it: what waits can still be read.
func (s *Subscription) Unsubscribe() { s.client.leave(s) }

// Publish is the client's, to this channel.
func (s *Subscription) Publish(ctx context.Context, data any, options ...PublishOption) (Position, error) {
	return s.client.Publish(ctx, s.Channel(), data, options...)
}

// Ack says that in a durable channel everything up to this offset, of a message or of a gap's position, is done. It returns when the hub
// keeps it; a lost connection repeats it. The newest covers all before it, so acknowledge as seldom as you like.
func (s *Subscription) Ack(ctx context.Context, offset uint64) error {
	return s.client.Ack(ctx, s.Channel(), offset)
}

func (s *Subscription) take() (Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped != nil {
		gap := Gap{s.place.channel, *s.dropped, "slow_consumer"}
		s.read, s.dropped = s.dropped, nil
		s.signal()
		return gap, nil
	}
	if len(s.inbox) == 0 {
		if s.err != nil {
			s.signal()
		}
		return nil, s.err
	}
	first := s.inbox[0]
	s.inbox[0] = entry{}
	s.inbox = s.inbox[1:]
	if first.position != nil {
		s.read = first.position
	}
	if len(s.inbox) > 0 || s.err != nil {
		s.signal()
	}
	return first.event, nil
}

func (s *Subscription) put(event Event, position *Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) >= s.max {
		switch {
		case s.inbox[0].position != nil:
			s.dropped = s.inbox[0].position
		case s.dropped == nil && s.read != nil:
			s.dropped = s.read
		case s.dropped == nil:
			s.dropped = &Position{}
		}
		s.inbox = s.inbox[1:]
	}
	s.inbox = append(s.inbox, entry{event, position})
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// What follows is called with the client's lock held.

func (s *Subscription) receive(received frame) {
	switch {
	case received.Message != nil:
		deliver, gap := s.place.message(*received.Message)
		if gap != nil {
			s.put(*gap, &gap.Position)
		}
		if deliver && received.Message.Offset != 0 {
			s.put(*received.Message, s.place.position)
		} else if deliver {
			s.put(*received.Message, nil)
		}
	case received.Gap != nil:
		if s.place.gap(*received.Gap) {
			s.put(*received.Gap, s.place.position)
		}
	case received.Join != nil:
		s.put(*received.Join, nil)
	case received.Leave != nil:
		s.put(*received.Leave, nil)
	}
}

func (s *Subscription) begin(result SubscribeResult) {
	if !s.place.begin(result) {
		return
	}
	result.Channel = s.place.channel
	s.result = result
	s.mu.Lock()
	if s.read == nil {
		s.read = s.place.position
	}
	s.mu.Unlock()
	s.tell()
}

func (s *Subscription) end(err error) {
	s.place.state = Unsubscribed
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.signal()
	s.mu.Unlock()
	s.tell()
}

// tell wakes who waits for a change of state.
func (s *Subscription) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}
