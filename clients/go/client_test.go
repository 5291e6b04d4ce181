package switchboard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"switchboard"
)

// The tests of this file share a stage, and say at the end that no goroutine is left.
func TestAtAHub(t *testing.T) {
	stage := startStage(t)
	for name, test := range map[string]func(*testing.T, *stageOf){
		"a publish waits for the connection and comes back with its sender":              comesBack,
		"members are listed and come and go":                                             members,
		"history is read forwards, backwards and from a position":                        history,
		"errors are the hub's by their code":                                             errorCodes,
		"services send, subscribe and unsubscribe by their own hand":                     byHand,
		"what is not acknowledged comes again, and what is does not":                     durable,
		"an ack whose answer is lost is repeated in the next session":                    ackAgain,
		"a call that the connection does not outlive is unavailable, and never repeated": callOnce,
		"a position that was kept begins there in another visit":                         positions,
		"a context ends what it was given to":                                            contexts,
		"sessions that are gone leave nothing behind":                                    goneSessions,
		"a node that drains is left without a break":                                     drained,
		"a half-open connection is noticed, and what it swallowed is recovered":          halfOpen,
		"a refused token without another stops the client":                               tokenRefused,
		"a client that is closed while it connects leaves nothing":                       closedEarly,
	} {
		t.Run(name, func(t *testing.T) { test(t, &stageOf{stage, t.Context()}) })
	}
	nothingLeft(t)
}

type stageOf struct {
	*stage
	ctx context.Context
}

// clientOf makes a client of a user with what the token is to grant; nil: everything.
func (s *stageOf) clientOf(t *testing.T, user, url string, grants object, options switchboard.Options) *switchboard.Client {
	t.Helper()
	claims := object{"user": user}
	if grants != nil {
		claims["grants"] = grants
	}
	token, err := s.token(claims)
	if err != nil {
		t.Fatal(err)
	}
	options.Token = token
	return s.client(t, url, options)
}

func (s *stageOf) subscribe(t *testing.T, client *switchboard.Client, name string, start switchboard.Start) *switchboard.Subscription {
	t.Helper()
	ctx, done := context.WithTimeout(s.ctx, patience)
	defer done()
	subscription, err := client.Subscribe(ctx, name, start)
	if err != nil {
		t.Fatal(err)
	}
	return subscription
}

func read(t *testing.T, subscription *switchboard.Subscription) switchboard.Event {
	t.Helper()
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	event, err := subscription.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

func number(t *testing.T, event switchboard.Event) int {
	t.Helper()
	var data struct{ N int }
	message, is := event.(switchboard.Message)
	if !is {
		t.Fatalf("%+v is no message", event)
	}
	if err := message.Decode(&data); err != nil {
		t.Fatal(err)
	}
	return data.N
}

func numbered(t *testing.T, subscription *switchboard.Subscription, numbers ...int) switchboard.Message {
	t.Helper()
	var last switchboard.Event
	for _, wanted := range numbers {
		last = read(t, subscription)
		if n := number(t, last); n != wanted {
			t.Fatalf("%d came, not %d", n, wanted)
		}
	}
	return last.(switchboard.Message)
}

func comesBack(t *testing.T, stage *stageOf) {
	client := stage.clientOf(t, "ann", stage.Proxy, nil, switchboard.Options{})
	name := channel("chat")
	first, err := client.Publish(stage.ctx, name, object{"text": "hé"}, switchboard.WithID("once"))
	if err != nil || first.Offset != 1 {
		t.Fatal(first, err)
	}
	if again, err := client.Publish(stage.ctx, name, object{"text": "hé"}, switchboard.WithID("once")); err != nil || again != first {
		t.Fatal(again, err)
	}
	subscription := stage.subscribe(t, client, name, switchboard.Start{Rewind: 1})
	if _, err := subscription.Publish(stage.ctx, []byte{0, 255}); err != nil {
		t.Fatal(err)
	}
	message := read(t, subscription).(switchboard.Message)
	if string(message.Data) != `{"text":"hé"}` || message.ID != "once" || message.From.User != "ann" {
		t.Fatalf("%+v", message)
	}
	bytes := read(t, subscription).(switchboard.Message)
	if !bytes.Binary || string(bytes.Data) != "\x00\xff" || bytes.Offset != 2 {
		t.Fatalf("%+v", bytes)
	}
}

func members(t *testing.T, stage *stageOf) {
	room := channel("room")
	grants := object{"subscribe": []string{"*"}, "presence": []string{"*"}, "info": object{"name": "Ann"}}
	ann := stage.clientOf(t, "ann", stage.Proxy, grants, switchboard.Options{})
	bob := stage.clientOf(t, "bob", stage.Proxy, nil, switchboard.Options{})
	mine := stage.subscribe(t, ann, room, switchboard.Start{})
	theirs := stage.subscribe(t, bob, room, switchboard.Start{})
	joined := read(t, mine).(switchboard.Join)
	if joined.Member.User == "ann" {
		joined = read(t, mine).(switchboard.Join)
	}
	if joined.Member.User != "bob" {
		t.Fatalf("%+v", joined)
	}
	page, err := ann.Presence(stage.ctx, room, nil, "")
	if err != nil || len(page.Members) != 2 || page.Count != 2 || page.Users != 2 {
		t.Fatal(page, err)
	}
	one := uint32(1)
	first, err := ann.Presence(stage.ctx, room, &one, "")
	if err != nil || len(first.Members) != 1 || first.NextPage == "" {
		t.Fatal(first, err)
	}
	second, err := ann.Presence(stage.ctx, room, &one, first.NextPage)
	if err != nil || len(second.Members) != 1 || second.Members[0].User == first.Members[0].User {
		t.Fatal(second, err)
	}
	theirs.Unsubscribe()
	if left := read(t, mine).(switchboard.Leave); left.Member.User != "bob" {
		t.Fatalf("%+v", left)
	}
	for event, err := range theirs.Events(stage.ctx) {
		if _, joins := event.(switchboard.Join); !joins || err != nil {
			t.Fatal(event, err)
		}
	}
}

func history(t *testing.T, stage *stageOf) {
	past := channel("chat")
	told := stage.post(t, "/publish", object{"channel": past, "count": 5})["first"].(object)
	first := switchboard.Position{Epoch: told["epoch"].(string), Offset: uint64(told["offset"].(float64))}
	client := stage.client(t, stage.Proxy, switchboard.Options{})
	two, none := uint32(2), uint32(0)
	for _, tried := range []struct {
		query  switchboard.HistoryQuery
		wanted []int
	}{
		{switchboard.HistoryQuery{Limit: &two}, []int{0, 1}},
		{switchboard.HistoryQuery{Limit: &two, Reverse: true}, []int{4, 3}},
		{switchboard.HistoryQuery{Position: &first}, []int{1, 2, 3, 4}},
		{switchboard.HistoryQuery{Limit: &none}, nil},
	} {
		page, err := client.History(stage.ctx, past, tried.query)
		if err != nil || page.Position.Offset != 5 || len(page.Publications) != len(tried.wanted) {
			t.Fatal(page, err)
		}
		for index, publication := range page.Publications {
			if n := number(t, publication); n != tried.wanted[index] {
				t.Fatalf("%d, not %d", n, tried.wanted[index])
			}
		}
	}
	if now, err := client.Ping(stage.ctx); err != nil || time.Since(now).Abs() > time.Minute {
		t.Fatal(now, err)
	}
}

func errorCodes(t *testing.T, stage *stageOf) {
	client := stage.client(t, stage.Proxy, switchboard.Options{})
	calling, done := context.WithTimeout(stage.ctx, 5*time.Second)
	defer done()
	_, unknown := client.Publish(stage.ctx, "nowhere:1", 1)
	_, noService := client.Call(calling, "quote", object{"symbol": "X"})
	_, tooLarge := client.Publish(stage.ctx, "chat:1", string(make([]byte, 100_000)))
	_, malformed := client.Subscribe(stage.ctx, "chat:*", switchboard.Start{})
	notSubscribed := client.Ack(stage.ctx, channel("inbox"), 3)
	for wanted, err := range map[string]error{
		"unknown_namespace": unknown, "no_service": noService, "payload_too_large": tooLarge, "bad_request": malformed, "not_subscribed": notSubscribed,
	} {
		if switchboard.Code(err) != wanted {
			t.Errorf("%v, not %s", err, wanted)
		}
	}
	if client.State() != switchboard.Connected {
		t.Error(client.State())
	}
}

func byHand(t *testing.T, stage *stageOf) {
	user := unique("user")
	events := make(chan switchboard.ClientEvent, 100)
	client := stage.clientOf(t, user, stage.Proxy, nil, switchboard.Options{OnEvent: func(event switchboard.ClientEvent) { events <- event }})
	if session, err := client.Ready(stage.ctx); err != nil || session.User != user {
		t.Fatal(session, err)
	}
	stage.post(t, "/send", object{"user": user, "data": object{"n": 1}})
	for event := range events {
		if direct, is := event.(switchboard.Direct); is {
			if number(t, direct.Message) != 1 {
				t.Fatalf("%+v", direct)
			}
			break
		}
	}
	name := "chat:" + user
	stage.post(t, "/subscribe", object{"user": user, "channel": name})
	var subscription *switchboard.Subscription
	for event := range events {
		if found, is := event.(switchboard.Found); is {
			subscription = found.Subscription
			break
		}
	}
	if subscription.Channel() != name || client.Subscription(name) != subscription {
		t.Fatal(subscription.Channel())
	}
	stage.post(t, "/unsubscribe", object{"user": user, "channel": name, "reason": "enough"})
	if _, err := subscription.Next(stage.ctx); switchboard.Code(err) != "closed" || subscription.State() != switchboard.Unsubscribed {
		t.Fatal(err)
	}
}

func durable(t *testing.T, stage *stageOf) {
	inbox, user := channel("inbox"), unique("user")
	visit := func(steps func(*switchboard.Subscription)) {
		client := stage.clientOf(t, user, stage.Proxy, nil, switchboard.Options{})
		steps(stage.subscribe(t, client, inbox, switchboard.Start{}))
		client.Close()
	}
	visit(func(subscription *switchboard.Subscription) {
		if !subscription.Result().Policy.Durable {
			t.Fatalf("%+v", subscription.Result())
		}
	})
	stage.post(t, "/publish", object{"channel": inbox, "count": 3})
	visit(func(subscription *switchboard.Subscription) {
		numbered(t, subscription, 0, 1, 2)
		if err := subscription.Ack(stage.ctx, 2); err != nil {
			t.Fatal(err)
		}
		if err := subscription.Ack(stage.ctx, 9); switchboard.Code(err) != "bad_request" {
			t.Fatal(err)
		}
	})
	visit(func(subscription *switchboard.Subscription) {
		last := numbered(t, subscription, 2)
		if err := subscription.Ack(stage.ctx, last.Offset); err != nil {
			t.Fatal(err)
		}
	})
	visit(func(subscription *switchboard.Subscription) {
		stage.post(t, "/publish", object{"channel": inbox, "from": 3})
		numbered(t, subscription, 3)
	})
}

var quick = switchboard.Timing{BackoffBase: 20 * time.Millisecond, BackoffCap: 100 * time.Millisecond}

func ackAgain(t *testing.T, stage *stageOf) {
	inbox, user := channel("inbox"), unique("user")
	proxy, url := stage.proxy(t, object{})
	client := stage.clientOf(t, user, url, nil, switchboard.Options{Timing: quick})
	subscription := stage.subscribe(t, client, inbox, switchboard.Start{})
	stage.post(t, "/publish", object{"channel": inbox, "count": 2})
	last := numbered(t, subscription, 0, 1)
	// What is sent from now on is swallowed, and nothing can be reached.
	stage.post(t, "/proxies/"+proxy, object{"answer": "close"})
	stage.post(t, "/proxies/"+proxy+"/half-open", object{})
	kept := make(chan error, 1)
	go func() { kept <- subscription.Ack(stage.ctx, last.Offset) }()
	until(t, "the ack", func() bool { return client.Waiting() == 1 })
	stage.post(t, "/proxies/"+proxy+"/cut", object{})
	until(t, "the loss", func() bool { return client.State() == switchboard.Connecting })
	stage.post(t, "/proxies/"+proxy, object{"answer": "pass"})
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	other := stage.clientOf(t, user, stage.Proxy, nil, switchboard.Options{})
	rest := stage.subscribe(t, other, inbox, switchboard.Start{})
	stage.post(t, "/publish", object{"channel": inbox, "from": 2})
	numbered(t, rest, 2)
}

func callOnce(t *testing.T, stage *stageOf) {
	proxy, url := stage.proxy(t, object{})
	client := stage.client(t, url, switchboard.Options{Timing: quick})
	if _, err := client.Ready(stage.ctx); err != nil {
		t.Fatal(err)
	}
	// What is sent from now on is swallowed.
	stage.post(t, "/proxies/"+proxy+"/half-open", object{})
	asked := make(chan error, 1)
	go func() {
		_, err := client.Call(stage.ctx, "quote", nil)
		asked <- err
	}()
	until(t, "the call", func() bool { return client.Waiting() == 1 })
	stage.post(t, "/proxies/"+proxy+"/cut", object{})
	if err := <-asked; switchboard.Code(err) != "unavailable" {
		t.Fatal(err)
	}
}

func positions(t *testing.T, stage *stageOf) {
	kept := channel("chat")
	stage.post(t, "/publish", object{"channel": kept, "count": 4})
	client := stage.client(t, stage.Proxy, switchboard.Options{})
	subscription := stage.subscribe(t, client, kept, switchboard.Start{Rewind: 3})
	numbered(t, subscription, 1)
	position := subscription.Position()
	if position.Offset != 2 {
		t.Fatalf("%+v: what was received and not read does not count", position)
	}
	client = stage.client(t, stage.Proxy, switchboard.Options{})
	again := stage.subscribe(t, client, kept, switchboard.Start{Position: position})
	if !again.Result().Recovered {
		t.Fatalf("%+v", again.Result())
	}
	numbered(t, again, 2, 3)
	client = stage.client(t, stage.Proxy, switchboard.Options{})
	lost := stage.subscribe(t, client, kept, switchboard.Start{Position: &switchboard.Position{Epoch: "1", Offset: 2}})
	if gap := read(t, lost).(switchboard.Gap); gap.Reason != "epoch_changed" {
		t.Fatalf("%+v", gap)
	}
}

func contexts(t *testing.T, stage *stageOf) {
	_, url := stage.proxy(t, object{"answer": "close"})
	client := stage.client(t, url, switchboard.Options{Timing: quick})
	short, done := context.WithTimeout(stage.ctx, 20*time.Millisecond)
	defer done()
	_, late := client.Publish(short, "chat:1", 1)
	_, notReady := client.Ready(short)
	_, notSubscribed := client.Subscribe(short, "chat:1", switchboard.Start{})
	for _, err := range []error{late, notReady, notSubscribed} {
		if switchboard.Code(err) != "timeout" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
	if client.Subscription("chat:1") != nil {
		t.Error("the subscription goes with the context that it was given")
	}
	aborted, abort := context.WithCancel(stage.ctx)
	abort()
	if _, err := client.Ping(aborted); switchboard.Code(err) != "aborted" || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	client.Close()
	if _, err := client.Publish(stage.ctx, "chat:1", 1); switchboard.Code(err) != "disconnected" {
		t.Errorf("%v", err)
	}
}

func goneSessions(t *testing.T, stage *stageOf) {
	proxy, url := stage.proxy(t, object{})
	var sessions atomic.Int64
	client := stage.client(t, url, switchboard.Options{Timing: quick, OnEvent: func(event switchboard.ClientEvent) {
		if _, is := event.(switchboard.Opened); is {
			sessions.Add(1)
		}
	}})
	for n := range int64(10) {
		until(t, "a session", func() bool { return sessions.Load() > n && client.State() == switchboard.Connected })
		stage.post(t, "/proxies/"+proxy+"/cut", object{})
	}
	until(t, "the last session", func() bool { return sessions.Load() > 10 })
	until(t, "the end of all writers but its own", func() bool { return goroutines("(*link).write") == 1 })
}

func drained(t *testing.T, stage *stageOf) {
	wanted := []string{"connecting", "connected", "moved false", "moved true", "disconnected"}
	var told []string
	// A node closes when its time is up: a machine that is busy may be late once, and is not every time.
	for range 5 {
		if told = toldOfADrain(t, stage); slices.Equal(told, wanted) {
			return
		}
	}
	t.Fatalf("%v, not %v", told, wanted)
}

func toldOfADrain(t *testing.T, stage *stageOf) (told []string) {
	events := make(chan switchboard.ClientEvent, 100)
	client := stage.client(t, stage.Proxy, switchboard.Options{OnEvent: func(event switchboard.ClientEvent) { events <- event }})
	name := channel("chat")
	subscription := stage.subscribe(t, client, name, switchboard.Start{})
	stage.post(t, "/hub/drain", object{"wait": true})
	// The nodes of the stage share no history.
	if gap, is := read(t, subscription).(switchboard.Gap); !is || gap.Reason != "epoch_changed" {
		t.Fatalf("%+v", gap)
	}
	stage.post(t, "/publish", object{"channel": name, "count": 2})
	numbered(t, subscription, 0, 1)
	client.Close()
	close(events)
	for event := range events {
		switch event := event.(type) {
		case switchboard.StateChanged:
			told = append(told, event.State.String())
		case switchboard.Opened:
			told = append(told, fmt.Sprint("moved ", event.Moved))
		}
	}
	return told
}

func halfOpen(t *testing.T, stage *stageOf) {
	proxy, url := stage.proxy(t, object{})
	timing := quick
	timing.Heartbeat, timing.Silence = time.Second, 2500*time.Millisecond
	client := stage.client(t, url, switchboard.Options{Timing: timing})
	name := channel("chat")
	subscription := stage.subscribe(t, client, name, switchboard.Start{})
	stage.post(t, "/proxies/"+proxy+"/half-open", object{})
	stage.post(t, "/publish", object{"channel": name, "count": 4})
	numbered(t, subscription, 0, 1, 2, 3)
}

func tokenRefused(t *testing.T, stage *stageOf) {
	token, err := stage.token(object{"user": "late", "ttl_s": -5})
	if err != nil {
		t.Fatal(err)
	}
	client := stage.client(t, stage.Proxy, switchboard.Options{Token: token})
	if _, err := client.Ready(stage.ctx); switchboard.Code(err) != "token_failed" || client.State() != switchboard.Disconnected {
		t.Fatal(err)
	}
}

func closedEarly(t *testing.T, stage *stageOf) {
	for _, mode := range []string{"hang", "stall", "pass"} {
		_, url := stage.proxy(t, object{"ws": mode})
		client := stage.client(t, url, switchboard.Options{})
		began := time.Now()
		client.Close()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: closing took %v", mode, took)
		}
	}
}
