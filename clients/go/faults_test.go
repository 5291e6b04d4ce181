package switchboard_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"switchboard"
)

// Faults at random: FAULT_RUNS runs, many at a time; FAULT_SEED plays the same again, and a failure prints the seed of its run.
func TestFaults(t *testing.T) {
	setting := func(name string, otherwise int64) int64 {
		if value, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil {
			return value
		}
		return otherwise
	}
	runs, seed := setting("FAULT_RUNS", 200), setting("FAULT_SEED", time.Now().UnixNano()%1_000_000_000)
	stage := startStage(t)
	began := time.Now()
	var running sync.WaitGroup
	places := make(chan struct{}, 40)
	for index := range runs {
		running.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if err := faultRun(stage, seed+index); err != nil {
				t.Errorf("FAULT_SEED=%d FAULT_RUNS=1: %v", seed+index, err)
			}
		})
	}
	running.Wait()
	t.Logf("seed %d: %d runs in %v", seed, runs, time.Since(began).Round(time.Second))
	nothingLeft(t)
}

var faultModes = []object{
	{"ws": "kill", "kill_after_ms": 30}, {"ws": "stall"}, {"ws": "refuse"}, {"ws": "strip"}, {"ws": "hang"},
	{"delay_ms": 40}, {"delay_ms": 150}, {"answer": "close"}, {"answer": 503}, {"answer": 502},
}

func calm() object { return object{"ws": "pass", "delay_ms": 0, "answer": "pass", "kill_after_ms": 0} }

// faultRun is one client behind a proxy of its own that misbehaves at random, while a service and the client publish: all must come, in
// order, once, and without a gap.
func faultRun(stage *stage, seed int64) error {
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	name := fmt.Sprintf("chat:fault-%d", seed)
	made, err := stage.ask("POST", "/proxies", object{})
	if err != nil {
		return err
	}
	proxy := "/proxies/" + made["id"].(string)
	token, err := stage.token(object{"user": fmt.Sprint("user-", seed)})
	if err != nil {
		return err
	}
	client := switchboard.New(made["url"].(string), switchboard.Options{Token: token, Timing: switchboard.Timing{
		BackoffBase: 20 * time.Millisecond, BackoffCap: 250 * time.Millisecond, Open: 1500 * time.Millisecond,
		Heartbeat: time.Second, Silence: 2500 * time.Millisecond, Proven: 400 * time.Millisecond,
	}})
	defer client.Close()
	ctx, done := context.WithTimeout(context.Background(), 60*time.Second)
	defer done()
	subscription, err := client.Subscribe(ctx, name, switchboard.Start{})
	if err != nil {
		return err
	}
	service, own := 15+chance.IntN(25), chance.IntN(6)
	published := make(chan error, own)
	for n, mine := 0, 0; n < service || mine < own; {
		luck := chance.Float64()
		switch {
		case luck < 0.12:
			_, err = stage.ask("POST", proxy+"/cut", object{})
		case luck < 0.18:
			_, err = stage.ask("POST", proxy+"/half-open", object{})
		case luck < 0.35:
			modes := calm()
			for mode, value := range faultModes[chance.IntN(len(faultModes))] {
				modes[mode] = value
			}
			_, err = stage.ask("POST", proxy, modes)
		case luck < 0.5 && mine < own:
			data := object{"mine": mine}
			mine++
			go func() {
				_, err := client.Publish(ctx, name, data)
				published <- err
			}()
		case n < service:
			count := min(1+chance.IntN(4), service-n)
			_, err = stage.ask("POST", "/publish", object{"channel": name, "count": count, "from": n})
			n += count
		}
		if err != nil {
			return err
		}
		// Faults are to meet the client at some time, not between two frames.
		time.Sleep(time.Duration(chance.IntN(120)) * time.Millisecond)
	}
	if _, err := stage.ask("POST", proxy, calm()); err != nil {
		return err
	}
	for range own {
		if err := <-published; err != nil {
			return err
		}
	}
	for index := range service + own {
		event, err := subscription.Next(ctx)
		if err != nil {
			return fmt.Errorf("after %d of %d: %w", index, service+own, err)
		}
		if message, is := event.(switchboard.Message); !is || message.Offset != uint64(index+1) {
			return fmt.Errorf("%+v came as number %d", event, index+1)
		}
	}
	// What came twice would come before the answer to this.
	if _, err := client.Ping(ctx); err != nil {
		return err
	}
	subscription.Unsubscribe()
	if event, err := subscription.Next(ctx); !errors.Is(err, switchboard.ErrUnsubscribed) {
		return fmt.Errorf("%+v came after the last", event)
	}
	_, err = stage.ask("DELETE", proxy, object{})
	return err
}
