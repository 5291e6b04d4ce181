package switchboard

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Position is a place in a channel's order of publications. The epoch is opaque: compare it for equality, nothing else.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Policy is what a channel offers.
type Policy struct {
	Recovery  bool `json:"recovery"`
	Presence  bool `json:"presence"`
	JoinLeave bool `json:"join_leave"`
	// Durable: the user has a mark in the channel, which Ack moves.
	Durable bool `json:"durable"`
}

// Member is one session that is present in a channel. Info is the JSON of its token; empty when none.
type Member struct {
	Session string          `json:"session"`
	User    string          `json:"user"`
	Info    json.RawMessage `json:"info"`
}

// Sender is the client behind a publication.
type Sender struct {
	User    string `json:"user"`
	Session string `json:"session"`
}

// Event is what a subscription tells its reader: a [Message], a [Gap], a [Join] or a [Leave].
type Event interface{ event() }

// Message is a publication.
type Message struct {
	// Channel is empty when a service sent it to this session or user directly.
	Channel string
	// Offset is 0 when it is not in history.
	Offset uint64
	// Data is JSON, or bytes where Binary is true.
	Data   []byte
	Binary bool
	// ID is the publisher's idempotency id.
	ID string
	// From is the client that published; nil when it was a service.
	From *Sender
	Time time.Time
	Tags map[string]string
}

// Decode reads JSON data into a value.
func (m Message) Decode(into any) error {
	if m.Binary {
		return errors.New("the message is binary: read Data")
	}
	return json.Unmarshal(m.Data, into)
}

// Gap says that what lay before Position may have been missed: reload what the channel describes, then go on. Reason is trimmed,
// epoch_changed, slow_consumer, interrupted, or one that is newer than this client.
type Gap struct {
	Channel  string   `json:"channel"`
	Position Position `json:"position"`
	Reason   string   `json:"reason"`
}

// Join says that a member has come.
type Join struct {
	Channel string `json:"channel"`
	Member  Member `json:"member"`
}

// Leave says that a member has gone.
type Leave struct {
	Channel string `json:"channel"`
	Member  Member `json:"member"`
}

func (Message) event() {}
func (Gap) event()     {}
func (Join) event()    {}
func (Leave) event()   {}

// Session is what the hub said of a session at its opening.
type Session struct {
	// ID is the session as others see it in presence.
	ID string `json:"session"`
	// User is the token's; empty when anonymous.
	User string `json:"user"`
	Node string `json:"node"`

	Time      int64 `json:"time"`
	ExpiresAt int64 `json:"expires_at"`
	Limits    struct {
		CommandBytesMax int `json:"command_bytes_max"`
	} `json:"limits"`
}

// PresencePage is one page of members, and how many there are in the whole channel.
type PresencePage struct {
	Members []Member `json:"members"`
	Count   int      `json:"count"`
	Users   int      `json:"users"`
	// NextPage asks for the next page; empty: this was the last.
	NextPage string `json:"next_page"`
}

// HistoryPage is what was read of a channel's history, and the channel's latest position.
type HistoryPage struct {
	Publications []Message `json:"publications"`
	Position     Position  `json:"position"`
}

// SubscribeResult is how a subscription stands.
type SubscribeResult struct {
	Channel string `json:"channel"`
	// Position is where it began.
	Position Position `json:"position"`
	// Recovered: a position was asked for, and all that was missed since follows.
	Recovered bool   `json:"recovered"`
	Policy    Policy `json:"policy"`
}

type closeFrame struct {
	Code           int    `json:"code"`
	Reason         string `json:"reason"`
	Reconnect      bool   `json:"reconnect"`
	ReconnectAfter int64  `json:"reconnect_after"`
}

type wireError struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Retryable  bool   `json:"retryable"`
	RetryAfter int64  `json:"retry_after"`
}

func (e wireError) failure() *Error {
	return &Error{Code: e.Code, Message: e.Message, Retryable: e.Retryable, RetryAfter: time.Duration(e.RetryAfter) * time.Millisecond}
}

type payload struct {
	Data   json.RawMessage `json:"data,omitempty"`
	Binary bool            `json:"binary,omitempty"`
}

// write gives a payload: bytes are base64 with binary beside them, anything else is its JSON.
func writePayload(data any) (payload, error) {
	if bytes, ok := data.([]byte); ok {
		text, err := json.Marshal(base64.StdEncoding.EncodeToString(bytes))
		return payload{Data: text, Binary: true}, err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return payload{}, &Error{Code: "bad_request", Message: "the data is no JSON: " + err.Error(), cause: err}
	}
	return payload{Data: text}, nil
}

func (p payload) read() ([]byte, error) {
	if !p.Binary {
		return p.Data, nil
	}
	var text string
	if err := json.Unmarshal(p.Data, &text); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// UnmarshalJSON reads a message as it is on the wire.
func (m *Message) UnmarshalJSON(text []byte) error {
	var raw struct {
		payload
		Channel string            `json:"channel"`
		Offset  uint64            `json:"offset"`
		ID      string            `json:"id"`
		From    *Sender           `json:"from"`
		Time    int64             `json:"time"`
		Tags    map[string]string `json:"tags"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	data, err := raw.read()
	if err != nil {
		return fmt.Errorf("binary data: %w", err)
	}
	*m = Message{raw.Channel, raw.Offset, data, raw.Binary, raw.ID, raw.From, time.UnixMilli(raw.Time), raw.Tags}
	return nil
}

type reply struct {
	ID        uint64           `json:"id"`
	Error     *wireError       `json:"error"`
	Subscribe *SubscribeResult `json:"subscribe"`
	Publish   *struct {
		Position Position `json:"position"`
	} `json:"publish"`
	Presence *PresencePage `json:"presence"`
	History  *HistoryPage  `json:"history"`
	Call     *payload      `json:"call"`
	Refresh  *struct {
		ExpiresAt int64 `json:"expires_at"`
	} `json:"refresh"`
	Ping *struct {
		Time int64 `json:"time"`
	} `json:"ping"`
}

// frame is what the hub says. At most one is set; a kind that is not known here leaves all unset, and is passed over.
type frame struct {
	Open         *Session         `json:"open"`
	Reply        *reply           `json:"reply"`
	Message      *Message         `json:"message"`
	Join         *Join            `json:"join"`
	Leave        *Leave           `json:"leave"`
	Gap          *Gap             `json:"gap"`
	Subscribed   *SubscribeResult `json:"subscribed"`
	Unsubscribed *struct {
		Channel     string `json:"channel"`
		Reason      string `json:"reason"`
		Resubscribe bool   `json:"resubscribe"`
	} `json:"unsubscribed"`
	Expiring *struct {
		ExpiresAt int64 `json:"expires_at"`
	} `json:"expiring"`
	Draining *struct {
		ReconnectAfter int64 `json:"reconnect_after"`
	} `json:"draining"`
	Heartbeat *struct {
		Time int64 `json:"time"`
	} `json:"heartbeat"`
	Close *closeFrame `json:"close"`
}

func readFrame(text []byte) (frame, error) {
	var read frame
	if err := json.Unmarshal(text, &read); err != nil {
		return frame{}, fmt.Errorf("a message is no frame: %w", err)
	}
	return read, nil
}

// command is what a client asks: a name, and under it what is asked.
type command struct {
	id   uint64
	verb string
	body any
}

func (c command) write() ([]byte, error) {
	body, err := json.Marshal(c.body)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"id":%d,%q:%s}`, c.id, c.verb, body), nil
}

type subscribeBody struct {
	Channel  string    `json:"channel"`
	Position *Position `json:"position,omitempty"`
	Rewind   uint32    `json:"rewind,omitempty"`
	Token    string    `json:"token,omitempty"`
}

type channelBody struct {
	Channel string `json:"channel"`
}

type publishBody struct {
	Channel string `json:"channel"`
	payload
	ID string `json:"id,omitempty"`
}

type presenceBody struct {
	Channel string  `json:"channel"`
	Limit   *uint32 `json:"limit,omitempty"`
	Page    string  `json:"page,omitempty"`
}

type historyBody struct {
	Channel  string    `json:"channel"`
	Position *Position `json:"position,omitempty"`
	Limit    *uint32   `json:"limit,omitempty"`
	Reverse  bool      `json:"reverse,omitempty"`
}

type callBody struct {
	Method string `json:"method"`
	payload
}

type ackBody struct {
	Channel string `json:"channel"`
	Offset  uint64 `json:"offset"`
}

type refreshBody struct {
	Token string `json:"token"`
}
