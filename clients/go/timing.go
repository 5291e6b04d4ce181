package switchboard

import "time"

// Timing has the times of a client; a zero field has its default.
type Timing struct {
	// BackoffBase bounds the first wait, which is random. Default 500 ms.
	BackoffBase time.Duration
	// BackoffCap bounds every wait by backoff. Default 30 s.
	BackoffCap time.Duration
	// Open is how long an attempt may take to its open frame. Default 8 s.
	Open time.Duration
	// Heartbeat is the interval at which the hub is asked for a sign of life. Default 20 s, at least 1 s.
	Heartbeat time.Duration
	// Silence is how long a connection may say nothing. Default: two heartbeats.
	Silence time.Duration
	// Request is how long a command may take whose context has no deadline. Default 10 s.
	Request time.Duration
	// Proven is how long a connection has to live until the next loss is the first again. Default 5 s.
	Proven time.Duration
}

func (t Timing) withDefaults() Timing {
	set := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	set(&t.BackoffBase, 500*time.Millisecond)
	set(&t.BackoffCap, 30*time.Second)
	set(&t.Open, 8*time.Second)
	set(&t.Heartbeat, 20*time.Second)
	t.Heartbeat = max(t.Heartbeat, time.Second)
	set(&t.Silence, 2*t.Heartbeat)
	set(&t.Request, 10*time.Second)
	set(&t.Proven, 5*time.Second)
	return t
}

const (
	// pendingMax bounds commands under way, and waiting for a connection, against a caller that never waits.
	pendingMax = 1000
	// inboxMax is the default bound of events that wait for a subscription's reader.
	inboxMax = 1000
	// eventsMax bounds what waits for an OnEvent that blocks.
	eventsMax = 1000
	// outgoingMax bounds commands that wait for a socket that takes none: all that is pending, and what subscriptions ask.
	outgoingMax = 4096
	// messageBytesMax bounds a message of the hub: a page of history is the largest.
	messageBytesMax = 16 << 20
	// tokenRefusalsMax bounds new tokens in a row that are refused; then the client stops.
	tokenRefusalsMax = 5
	// tokenSpare is how much time a token must have left to be used for an opening.
	tokenSpare = 2 * time.Second
	// goodbye is how long the hub has to answer a close.
	goodbye = 500 * time.Millisecond
	// renewAgain is the wait until a renewal that failed is tried again.
	renewAgain = 5 * time.Second
)
