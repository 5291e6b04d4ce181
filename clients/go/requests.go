package switchboard

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// request is a command that awaits its reply.
type request struct {
	command command
	// safe: it may be carried out twice, so it is sent again when the connection was lost, and when the hub says that it may succeed later.
	safe    bool
	sent    bool
	attempt int
	retry   *time.Timer
	outcome chan outcome
}

type outcome struct {
	reply reply
	err   *Error
}

func (r *request) settle(how outcome) {
	select {
	case r.outcome <- how:
	default: // It has been settled.
	}
}

// ask sends a command as soon as there is a session, and awaits its reply.
func (c *Client) ask(ctx context.Context, verb string, body any, safe bool) (reply, error) {
	if _, has := ctx.Deadline(); !has {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, c.timing.Request)
		defer done()
	}
	if ctx.Err() != nil {
		return reply{}, ended(ctx, verb)
	}
	c.mu.Lock()
	if len(c.requests) >= pendingMax {
		c.unlock()
		return reply{}, &Error{Code: "overflow", Message: "too many commands are under way already", Retryable: true}
	}
	if c.closed {
		c.unlock()
		return reply{}, failure("disconnected", "the client is closed")
	}
	asked := &request{command: command{c.nextID(), verb, body}, safe: safe, outcome: make(chan outcome, 1)}
	c.requests[asked.command.id] = asked
	c.sendRequest(asked)
	c.unlock()
	defer func() {
		c.mu.Lock()
		delete(c.requests, asked.command.id)
		if asked.retry != nil {
			asked.retry.Stop()
		}
		c.unlock()
	}()
	select {
	case <-ctx.Done():
		return reply{}, ended(ctx, verb)
	case how := <-asked.outcome:
		if how.err != nil {
			return reply{}, how.err
		}
		return how.reply, nil
	}
}

// What follows is called with the lock held.

func (c *Client) sendRequest(asked *request) {
	if c.link == nil {
		return
	}
	text, err := asked.command.write()
	if err != nil {
		asked.settle(outcome{err: failure("bad_request", "%v", err)})
		return
	}
	// The hub would close a socket for it, and that for good: the command would fail again.
	if bytesMax := c.link.opened.Limits.CommandBytesMax; bytesMax > 0 && len(text) > bytesMax {
		asked.settle(outcome{err: failure("payload_too_large", "a command has %d bytes at most here", bytesMax)})
		return
	}
	asked.sent = true
	c.link.send(text)
}

// answerRequest takes a reply in, and says whether it was awaited here.
func (c *Client) answerRequest(answer reply) bool {
	asked, is := c.requests[answer.ID]
	if !is {
		return false
	}
	switch {
	case answer.Error == nil:
		asked.settle(outcome{reply: answer})
	case answer.Error.Retryable && asked.safe:
		asked.sent = false
		wait := time.Duration(answer.Error.RetryAfter) * time.Millisecond
		if wait == 0 {
			wait = backoff(asked.attempt, rand.Float64(), c.timing)
		}
		asked.attempt++
		asked.retry = time.AfterFunc(wait, func() {
			c.mu.Lock()
			defer c.unlock()
			asked.retry = nil
			if c.requests[asked.command.id] == asked {
				c.sendRequest(asked)
			}
		})
	default:
		asked.settle(outcome{err: answer.Error.failure()})
	}
	return true
}

// resendRequests: a session stands; what waits is sent, in the order in which it was asked.
func (c *Client) resendRequests() {
	ids := make([]uint64, 0, len(c.requests))
	for id := range c.requests {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if asked := c.requests[id]; !asked.sent && asked.retry == nil {
			c.sendRequest(asked)
		}
	}
}

// loseRequests: the session is gone, and with it the replies of what was sent.
func (c *Client) loseRequests() {
	for _, asked := range c.requests {
		if asked.safe {
			asked.sent = false
		} else if asked.sent {
			lost := failure("unavailable", "the connection was lost before the reply: whether it happened is unknown")
			lost.Retryable = true
			asked.settle(outcome{err: lost})
		}
	}
}

func (c *Client) failRequests(err *Error) {
	for _, asked := range c.requests {
		asked.settle(outcome{err: err})
	}
}
