package switchboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard"
)

type scenario struct {
	Name  string                       `json:"name"`
	About string                       `json:"about"`
	Steps []map[string]json.RawMessage `json:"steps"`
}

// Every scenario of the list over a WebSocket, against a real hub. There is no other transport here.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile("../fixtures/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Scenarios []scenario }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Scenarios) < 16 {
		t.Fatalf("only %d scenarios", len(list.Scenarios))
	}
	stage := startStage(t)
	for _, played := range list.Scenarios {
		t.Run(played.Name, func(t *testing.T) { play(t, stage, played) })
	}
	nothingLeft(t)
}

// player is what a scenario has of its client, and what it has seen.
type player struct {
	t          *testing.T
	stage      *stage
	run, user  string
	proxy, url string
	client     *switchboard.Client
	ctx        context.Context
	readers    sync.WaitGroup
	marks      map[string]time.Time
	read       int
	gapsRead   int
	mu         sync.Mutex
	log        []string
	numbers    []int
	offsets    []uint64
	gaps       []string
	sessions   int
	tokens     int
	published  int
	stoppedBy  string
	failedBy   string
}

func play(t *testing.T, stage *stage, played scenario) {
	run := unique("run")
	p := &player{t: t, stage: stage, run: run, user: "user-" + run, marks: map[string]time.Time{}}
	p.proxy, p.url = stage.proxy(t, object{})
	ctx, done := context.WithTimeout(context.Background(), 2*time.Minute)
	p.ctx = ctx
	defer func() {
		done()
		if p.client != nil {
			p.client.Close()
		}
		p.readers.Wait()
	}()
	for _, step := range played.Steps {
		for name, body := range step {
			p.step(name, p.fill(body))
		}
	}
}

func (p *player) fill(body []byte) []byte {
	filled := strings.NewReplacer("$proxy", p.proxy, "$user", p.user, ":$", ":"+p.run).Replace(string(body))
	return []byte(filled)
}

func (p *player) note(change func(), what string, values ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.log = append(p.log, fmt.Sprintf(what, values...))
}

func (p *player) until(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		held, log := holds(), strings.Join(p.log[max(0, len(p.log)-40):], ", ")
		p.mu.Unlock()
		if held {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s never came; seen: %s", what, log)
		}
	}
}

func parse[T any](p *player, body []byte) (value T) {
	p.t.Helper()
	if err := json.Unmarshal(body, &value); err != nil {
		p.t.Fatalf("%s: %v", body, err)
	}
	return value
}

func (p *player) step(name string, body []byte) {
	p.t.Helper()
	switch name {
	case "client":
		p.makeClient(body)
	case "subscribe":
		p.subscribe(body)
	case "publish":
		p.stage.post(p.t, "/publish", json.RawMessage(body))
	case "control":
		asked := parse[[2]json.RawMessage](p, body)
		p.stage.post(p.t, parse[string](p, asked[0]), asked[1])
	case "modes":
		p.stage.post(p.t, "/proxies/"+p.proxy, json.RawMessage(body))
	case "mark":
		p.marks[parse[string](p, body)] = time.Now()
	case "client_publishes":
		asked := parse[struct {
			Channel string
			Count   int
		}](p, body)
		for n := range asked.Count {
			p.readers.Go(func() {
				ctx, done := context.WithTimeout(p.ctx, patience)
				defer done()
				if _, err := p.client.Publish(ctx, asked.Channel, object{"n": n}); err == nil {
					p.note(func() { p.published++ }, "published")
				}
			})
			// In this order: the next is asked once this one is.
			p.until("the publish", func() bool { return p.client.Waiting() > n || p.published > n })
		}
	case "await":
		for what, wanted := range parse[map[string]json.RawMessage](p, body) {
			p.await(what, wanted)
		}
	case "holds":
		for what, wanted := range parse[map[string]json.RawMessage](p, body) {
			p.holds(what, wanted)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.numbers) > p.read {
			p.t.Fatalf("nobody awaited message %d", p.numbers[p.read])
		}
	default:
		p.t.Fatalf("there is no step %s", name)
	}
}

func (p *player) makeClient(body []byte) {
	asked := parse[struct {
		TTL    *float64  `json:"ttl_s"`
		TTLs   []float64 `json:"ttls_s"`
		Grants any       `json:"grants"`
	}](p, body)
	p.client = switchboard.New(p.url, switchboard.Options{
		Timing: switchboard.Timing{BackoffBase: 50 * time.Millisecond, BackoffCap: 500 * time.Millisecond},
		GetToken: func(context.Context, switchboard.TokenReason) (string, error) {
			claims := object{"user": p.user}
			p.note(func() {
				if asked.TTL != nil {
					claims["ttl_s"] = *asked.TTL
				}
				if p.tokens < len(asked.TTLs) {
					claims["ttl_s"] = asked.TTLs[p.tokens]
				}
				p.tokens++
			}, "token")
			if asked.Grants != nil {
				claims["grants"] = asked.Grants
			}
			return p.stage.token(claims)
		},
		OnEvent: func(event switchboard.ClientEvent) {
			switch event := event.(type) {
			case switchboard.StateChanged:
				p.note(func() {}, "%v %s", event.State, event.Code)
			case switchboard.Opened:
				p.note(func() { p.sessions++ }, "open")
			case switchboard.Stopped:
				p.note(func() { p.stoppedBy = event.Err.Code }, "stopped %s", event.Err.Code)
			case switchboard.Found:
				p.follow(event.Subscription)
			}
		},
	})
}

func (p *player) follow(subscription *switchboard.Subscription) {
	p.readers.Go(func() {
		for event, err := range subscription.Events(p.ctx) {
			switch event := event.(type) {
			case switchboard.Message:
				var data struct{ N int }
				if err := event.Decode(&data); err != nil {
					p.note(func() { p.failedBy = "no JSON" }, "%v", err)
				}
				p.note(func() {
					p.numbers = append(p.numbers, data.N)
					p.offsets = append(p.offsets, event.Offset)
				}, "message %d", data.N)
			case switchboard.Gap:
				p.note(func() { p.gaps = append(p.gaps, event.Reason) }, "gap %s", event.Reason)
			}
			if err != nil {
				p.note(func() {}, "ended %v", err)
			}
		}
	})
}

func (p *player) subscribe(body []byte) {
	asked := parse[struct {
		Channel string
		Rewind  uint32
		Fails   string
	}](p, body)
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	subscription, err := p.client.Subscribe(ctx, asked.Channel, switchboard.Start{Rewind: asked.Rewind})
	if asked.Fails != "" {
		if switchboard.Code(err) != asked.Fails {
			p.t.Fatalf("subscribing failed with %v, not %s", err, asked.Fails)
		}
		return
	}
	if err != nil {
		p.t.Fatalf("subscribing: %v; seen: %v", err, p.log)
	}
	p.follow(subscription)
}

func (p *player) await(what string, wanted []byte) {
	p.t.Helper()
	switch what {
	case "messages":
		bounds := parse[[2]int](p, wanted)
		length := bounds[1] - bounds[0]
		p.until(fmt.Sprint("messages ", bounds), func() bool { return len(p.numbers)-p.read >= length })
		p.mu.Lock()
		defer p.mu.Unlock()
		for index, n := range p.numbers[p.read : p.read+length] {
			if n != bounds[0]+index {
				p.t.Fatalf("%d was to come, not %d; seen: %v", bounds[0]+index, n, p.log)
			}
		}
		p.read += length
	case "last_message":
		n := parse[int](p, wanted)
		p.until(fmt.Sprint("message ", n), func() bool { return len(p.numbers) > 0 && p.numbers[len(p.numbers)-1] == n })
		if !slices.IsSorted(p.offsets) {
			p.t.Fatal("offsets do not ascend")
		}
		p.read = len(p.numbers)
	case "gap":
		reason := parse[string](p, wanted)
		p.until("gap "+reason, func() bool { return len(p.gaps) > p.gapsRead })
		if p.gaps[p.gapsRead] != reason {
			p.t.Fatalf("the gap is %s, not %s", p.gaps[p.gapsRead], reason)
		}
		p.gapsRead = len(p.gaps)
	case "state":
		state := parse[string](p, wanted)
		p.until("state "+state, func() bool { return p.client.State().String() == state })
	case "subscribed":
		name := parse[string](p, wanted)
		p.until("subscribed "+name, func() bool {
			subscription := p.client.Subscription(name)
			return subscription != nil && subscription.State() == switchboard.Subscribed
		})
	case "tokens":
		count := parse[int](p, wanted)
		p.until("tokens", func() bool { return p.tokens >= count })
	case "published":
		count := parse[int](p, wanted)
		p.until("published", func() bool { return p.published >= count })
	case "refused":
		count := parse[float64](p, wanted)
		p.until("refused", func() bool {
			state, err := p.stage.ask("GET", "/proxies/"+p.proxy, nil)
			// This client reads the answer to an upgrade.
			return err == nil && state["refused"].(float64)+state["refused_upgrades"].(float64) >= count
		})
	default:
		p.t.Fatalf("there is nothing to await by the name %s", what)
	}
}

func (p *player) holds(what string, wanted []byte) {
	p.t.Helper()
	if what == "since" {
		asked := parse[[2]json.RawMessage](p, wanted)
		passed := time.Since(p.marks[parse[string](p, asked[0])]).Seconds()
		if seconds := parse[float64](p, asked[1]); passed < seconds {
			p.t.Fatalf("only %f s have passed", passed)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]any{"gaps": len(p.gaps), "sessions": p.sessions, "tokens": p.tokens, "stopped": p.stoppedBy}
	value, known := seen[what]
	text, err := json.Marshal(value)
	if !known || err != nil || string(text) != string(wanted) {
		p.t.Fatalf("%s is %v, not %s; seen: %v", what, value, wanted, p.log)
	}
}
