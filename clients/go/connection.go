package switchboard

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/coder/websocket"
)

// run keeps a session until the client is closed or has to stop for good.
func (c *Client) run(ctx context.Context) {
	defer c.running.Done()
	var state struct {
		attempt       int
		tokenRefusals int
		fresh         bool
	}
	pause := func(after time.Duration) {
		if after == 0 {
			after = backoff(state.attempt, rand.Float64(), c.timing)
		}
		state.attempt++
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	for ctx.Err() == nil {
		token, err := c.tokenForOpening(ctx, state.fresh)
		state.fresh = state.tokenRefusals > 0
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			if isFinal(err) {
				c.stopped(&Error{Code: "token_failed", Message: err.Error(), cause: err})
				return
			}
			pause(0)
			continue
		}
		link, lost := c.openLink(ctx, token)
		var told verdict
		if lost != nil {
			told = judge(*lost)
		} else {
			began := time.Now()
			last, moved := c.serve(ctx, link)
			if ctx.Err() != nil {
				break
			}
			told = judge(last)
			if moved || time.Since(began) >= c.timing.Proven {
				state.attempt, state.tokenRefusals = 0, 0
			}
			c.lost(told)
		}
		switch told.next {
		case stop:
			c.stopped(failure(told.code, "%s", told.message))
			return
		case withToken:
			state.tokenRefusals++
			state.fresh = true
			if state.tokenRefusals > tokenRefusalsMax {
				c.stopped(failure(told.code, "%s", told.message))
				return
			}
			// The first time another is asked for at once, and then ever more slowly.
			if state.tokenRefusals > 1 {
				pause(told.after)
			}
		case again:
			state.fresh = state.tokenRefusals > 0
			pause(told.after)
		}
	}
	c.stopped(nil)
}

// serve serves a session, and those that it moves to without a break. It gives the loss of the last, and whether it moved.
func (c *Client) serve(ctx context.Context, present *link) (last loss, moved bool) {
	for {
		if !c.adopt(present, moved) {
			present.drop()
			return loss{message: "the client is closed"}, moved
		}
		moving, over := context.WithCancel(ctx)
		candidates := make(chan *link, 1)
		last = c.read(moving, present, candidates)
		over()
		c.moving.Wait()
		c.abandon(present)
		select {
		case candidate := <-candidates:
			present, moved = candidate, true
		default:
			return last, moved
		}
	}
}

// read takes in what a session says until it is lost, or another one is there to take its place.
func (c *Client) read(moving context.Context, present *link, candidates chan *link) loss {
	for {
		received, lost := present.receive(c.timing.Silence)
		if lost != nil {
			return *lost
		}
		if draining := received.Draining; draining != nil {
			after := time.Duration(draining.ReconnectAfter) * time.Millisecond
			c.moving.Go(func() { c.move(moving, present, candidates, after) })
			continue
		}
		c.took(received)
	}
}

// move opens a session beside the present one after a while, to take its place. Where there is none, the present one serves until the
// hub closes it.
func (c *Client) move(ctx context.Context, present *link, candidates chan *link, after time.Duration) {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	candidate, lost := c.openLink(ctx, c.presentToken())
	if lost != nil {
		return
	}
	select {
	case candidates <- candidate:
		c.leaveLink(present)
	default:
		candidate.drop()
	}
}

// leaveLink says goodbye, so that members leave at once, and gives the hub a moment to answer. The reader hears the end.
func (c *Client) leaveLink(present *link) {
	timer := time.AfterFunc(goodbye, present.over)
	defer timer.Stop()
	_ = present.conn.Close(websocket.StatusNormalClosure, "")
	present.over()
}

// abandon ends a link of which nothing more is wanted.
func (c *Client) abandon(present *link) {
	c.mu.Lock()
	if c.link == present {
		c.link = nil
	}
	c.unlock()
	present.drop()
}

// tokenForOpening gives a token for an opening; fresh when the present one was refused.
func (c *Client) tokenForOpening(ctx context.Context, fresh bool) (string, error) {
	c.mu.Lock()
	token, endsAt := c.token, c.tokenEndsAt
	c.unlock()
	if c.options.GetToken == nil {
		if fresh {
			return "", failure("unauthenticated", "the token was refused, and there is no GetToken to ask for another")
		}
		return token, nil
	}
	if !fresh && token != "" && (endsAt.IsZero() || time.Until(endsAt) > tokenSpare) {
		return token, nil
	}
	reason := ForConnect
	if fresh {
		reason = ForRefused
	}
	return c.fetchToken(ctx, reason)
}

func (c *Client) fetchToken(ctx context.Context, reason TokenReason) (string, error) {
	token, err := c.options.GetToken(ctx, reason)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.unlock()
	c.token, c.tokenEndsAt = token, time.Time{}
	return token, nil
}

func (c *Client) presentToken() string {
	c.mu.Lock()
	defer c.unlock()
	return c.token
}

// isFinal says whether the application said by this error that there will be no token.
func isFinal(err error) bool {
	code := Code(err)
	return code == "permission_denied" || code == "unauthenticated"
}

// planRenewal is called with the lock held. It goes by the hub's clock, for this machine's may be wrong.
func (c *Client) planRenewal(expiresAt, hubTime int64) {
	if c.renewal != nil {
		c.renewal.Stop()
	}
	if expiresAt == 0 {
		return
	}
	left := time.Duration(max(0, expiresAt-hubTime)) * time.Millisecond
	c.tokenEndsAt = time.Now().Add(left)
	if c.options.GetToken != nil {
		// When three quarters of its time have passed.
		c.renewal = time.AfterFunc(left*3/4, c.startRenewal)
	}
}

func (c *Client) startRenewal() {
	c.mu.Lock()
	defer c.unlock()
	if c.closed || c.isRenewing || c.options.GetToken == nil {
		return
	}
	c.isRenewing = true
	if c.renewal != nil {
		c.renewal.Stop()
	}
	c.running.Go(c.renew)
}

// renew brings the hub a new token before the present one ends.
func (c *Client) renew() {
	expiresAt, hubTime, err := c.refresh()
	c.mu.Lock()
	defer c.unlock()
	c.isRenewing = false
	switch {
	case err == nil:
		c.planRenewal(expiresAt, hubTime)
	case c.link != nil && !errors.Is(err, context.Canceled):
		// Until it ends there is time to try again; after that the hub closes with 4100, and the next connection asks anew.
		c.renewal = time.AfterFunc(renewAgain, c.startRenewal)
	}
}

func (c *Client) refresh() (expiresAt, hubTime int64, err error) {
	token, err := c.fetchToken(c.ctx, ForExpiring)
	if err != nil {
		return 0, 0, err
	}
	answer, err := c.ask(c.ctx, "refresh", refreshBody{token}, false)
	if err != nil {
		return 0, 0, err
	}
	if answer.Refresh != nil {
		expiresAt = answer.Refresh.ExpiresAt
	}
	now, err := c.Ping(c.ctx)
	return expiresAt, now.UnixMilli(), err
}
