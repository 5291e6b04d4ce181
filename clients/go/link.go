package switchboard

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const subprotocol = "switchboard.v1.json"

// link is a hold on a session that stands: its open frame has come.
type link struct {
	conn     *websocket.Conn
	opened   Session
	outgoing chan []byte
	// over ends reading and writing, and the connection with them.
	over context.CancelFunc
	ctx  context.Context
	// written is closed when the writer has ended.
	written chan struct{}
}

// openLink opens a session within the time for it, or until ctx is over. What it opens lives as long as the client.
func (c *Client) openLink(ctx context.Context, token string) (*link, *loss) {
	opening, done := context.WithTimeout(ctx, c.timing.Open)
	defer done()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	heartbeat := strconv.FormatFloat(c.timing.Heartbeat.Seconds(), 'g', -1, 64)
	conn, response, err := websocket.Dial(opening, c.base+"/v1/ws?heartbeat="+heartbeat, &websocket.DialOptions{
		HTTPClient:      c.options.HTTPClient,
		HTTPHeader:      header,
		Subprotocols:    []string{subprotocol},
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return nil, refusal(response)
		}
		return nil, unreachable(err)
	}
	conn.SetReadLimit(messageBytesMax)
	_, text, err := conn.Read(opening)
	if err != nil {
		_ = conn.CloseNow()
		return nil, closed(err)
	}
	first, err := readFrame(text)
	switch {
	case err != nil:
		_ = conn.CloseNow()
		return nil, &loss{message: err.Error()}
	case first.Close != nil:
		_ = conn.CloseNow()
		return nil, &loss{close: first.Close, framed: true}
	case first.Open == nil:
		_ = conn.CloseNow()
		return nil, &loss{message: "the first frame is not `open`"}
	}
	made := &link{conn: conn, opened: *first.Open, outgoing: make(chan []byte, outgoingMax), written: make(chan struct{})}
	made.ctx, made.over = context.WithCancel(c.ctx)
	go made.write()
	return made, nil
}

// receive waits for the next frame, and no longer than a connection may be silent.
func (l *link) receive(silence time.Duration) (frame, *loss) {
	ctx, done := context.WithTimeout(l.ctx, silence)
	defer done()
	_, text, err := l.conn.Read(ctx)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return frame{}, &loss{message: "nothing was heard for too long"}
		}
		return frame{}, closed(err)
	}
	received, err := readFrame(text)
	if err != nil {
		return frame{}, &loss{message: err.Error()}
	}
	if received.Close != nil {
		return frame{}, &loss{close: received.Close, framed: true}
	}
	return received, nil
}

// send queues a command. Where the queue is full the link ends, for commands after a hole would be out of order; a new one asks anew.
func (l *link) send(text []byte) {
	select {
	case l.outgoing <- text:
	default:
		l.over()
	}
}

func (l *link) write() {
	defer close(l.written)
	for {
		select {
		case <-l.ctx.Done():
			return
		case text := <-l.outgoing:
			// The loss is told by the reader, which sees the same end.
			if l.conn.Write(l.ctx, websocket.MessageText, text) != nil {
				return
			}
		}
	}
}

// drop ends it at once; nothing of it is left.
func (l *link) drop() {
	l.over()
	_ = l.conn.CloseNow()
	<-l.written
}

// closed is what the failure of a read means.
func closed(err error) *loss {
	var told websocket.CloseError
	if errors.As(err, &told) && told.Code != websocket.StatusNoStatusRcvd {
		return &loss{close: &closeFrame{Code: int(told.Code), Reason: told.Reason}}
	}
	return &loss{message: err.Error()}
}

// refusal is what an answer that gives no session says.
func refusal(response *http.Response) *loss {
	lost := loss{status: response.StatusCode, retryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	if response.Body == nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
		return &lost
	}
	var problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	// Cut on its way, the status alone has to do.
	if text, err := io.ReadAll(response.Body); err == nil && json.Unmarshal(text, &problem) == nil {
		lost.code, lost.message = problem.Code, problem.Detail
	}
	return &lost
}
