package switchboard

import (
	"errors"
	"testing"
	"time"
)

func TestTheWaitIsRandomUpToABoundThatDoubles(t *testing.T) {
	timing := Timing{}.withDefaults()
	for attempt, wanted := range map[int]time.Duration{0: 500 * time.Millisecond, 1: time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 90: 30 * time.Second} {
		if got := backoff(attempt, 1, timing); got != wanted {
			t.Errorf("attempt %d: %v, not %v", attempt, got, wanted)
		}
	}
	if got := backoff(3, 0.25, timing); got != time.Second {
		t.Error(got)
	}
	if got := backoff(9, 0, timing); got != 0 {
		t.Error(got)
	}
}

func TestALossTellsWhatToDo(t *testing.T) {
	framed := func(code int, reconnect bool) loss {
		return loss{close: &closeFrame{Code: code, Reconnect: reconnect, ReconnectAfter: 2500}, framed: true}
	}
	for name, tried := range map[string]struct {
		loss   loss
		wanted next
	}{
		"drain":                 {framed(1001, true), again},
		"told to stay away":     {framed(4000, false), stop},
		"told to come back":     {framed(1000, true), again},
		"revoked":               {framed(4101, false), withToken},
		"a token, stay away":    {framed(4150, false), stop},
		"4000 by code":          {loss{close: &closeFrame{Code: 4000}}, again},
		"1000 by code":          {loss{close: &closeFrame{Code: 1000}}, stop},
		"1009 by code":          {loss{close: &closeFrame{Code: 1009}}, stop},
		"1011 by code":          {loss{close: &closeFrame{Code: 1011}}, again},
		"4100 by code":          {loss{close: &closeFrame{Code: 4100}}, withToken},
		"4200 by code":          {loss{close: &closeFrame{Code: 4200}}, stop},
		"4300 by code":          {loss{close: &closeFrame{Code: 4300}}, again},
		"token expired":         {loss{status: 401, code: "token_expired"}, withToken},
		"a proxy's 401":         {loss{status: 401}, withToken},
		"permission denied":     {loss{status: 403, code: "permission_denied"}, stop},
		"full":                  {loss{status: 503, code: "unavailable"}, again},
		"too fast":              {loss{status: 429}, again},
		"upgrades are stripped": {loss{status: 426, code: "bad_request"}, again},
		"gone":                  {loss{status: 410, code: "not_found"}, again},
		"a proxy's 502":         {loss{status: 502}, again},
		"a proxy's 404":         {loss{status: 404}, again},
		"the hub's 404":         {loss{status: 404, code: "not_found"}, stop},
		"a fault of the hub":    {loss{status: 500, code: "internal"}, again},
		"the network":           {loss{message: "reset"}, again},
		"an error of no status": {*unreachable(errors.New("reset")), again},
		"a stranger":            {loss{isUntrusted: true}, stop},
	} {
		if told := judge(tried.loss); told.next != tried.wanted {
			t.Errorf("%s: %v, not %v", name, told.next, tried.wanted)
		}
	}
	if told := judge(framed(1001, true)); told.after != 2500*time.Millisecond || told.code != "closed_1001" {
		t.Errorf("%+v", told)
	}
	if told := judge(loss{status: 503, retryAfter: 2 * time.Second}); told.after != 2*time.Second {
		t.Errorf("%+v", told)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for text, wanted := range map[string]time.Duration{
		"7": 7 * time.Second, "Thu, 01 Jan 2026 12:00:05 GMT": 5 * time.Second, "Thu, 01 Jan 2026 11:00:00 GMT": 0, "soon": 0, "": 0, "-3": 0,
	} {
		if got := retryAfter(text, now); got != wanted {
			t.Errorf("%q: %v, not %v", text, got, wanted)
		}
	}
}

func begun(epoch string, offset uint64, recovered bool) SubscribeResult {
	return SubscribeResult{Position: Position{epoch, offset}, Recovered: recovered}
}

func delivers(t *testing.T, p *place, offset uint64, wanted bool) *Gap {
	t.Helper()
	deliver, gap := p.message(Message{Offset: offset})
	if deliver != wanted {
		t.Fatalf("offset %d: %v", offset, deliver)
	}
	return gap
}

func TestAPlaceDeliversEachOffsetOnceAndTellsHoles(t *testing.T) {
	p := &place{channel: "a"}
	delivers(t, p, 1, false)
	if !p.begin(begun("e", 4, false)) || p.begin(begun("e", 9, false)) {
		t.Fatal("it begins once")
	}
	delivers(t, p, 4, false)
	delivers(t, p, 5, true)
	delivers(t, p, 5, false)
	if gap := delivers(t, p, 6, true); gap != nil {
		t.Fatal("there is no hole")
	}
	if gap := delivers(t, p, 9, true); gap == nil || *gap != (Gap{"a", Position{"e", 8}, "interrupted"}) {
		t.Fatalf("%+v", gap)
	}
	delivers(t, p, 0, true)
	if *p.position != (Position{"e", 9}) {
		t.Fatalf("%+v", p.position)
	}
}

func TestAPlaceGoesOnFromItsPositionInTheNextSession(t *testing.T) {
	p := &place{channel: "a", rewind: 3, token: "t"}
	if asked := p.ask(); asked != (subscribeBody{Channel: "a", Rewind: 3, Token: "t"}) {
		t.Fatalf("%+v", asked)
	}
	p.begin(begun("e", 4, false))
	delivers(t, p, 5, true)
	p.lost()
	delivers(t, p, 6, false)
	if asked := p.ask(); asked.Rewind != 0 || *asked.Position != (Position{"e", 5}) {
		t.Fatalf("%+v", asked)
	}
	p.begin(begun("e", 3, true))
	delivers(t, p, 5, false)
	delivers(t, p, 6, true)
}

func TestAGapMovesThePlaceAndAnotherEpochIsAskedAnew(t *testing.T) {
	p := &place{channel: "a", position: &Position{"e", 5}}
	for wanted, results := range map[bool][]SubscribeResult{
		true:  {begun("e", 6, false), begun("f", 1, false)},
		false: {begun("e", 5, false), begun("e", 9, true)},
	} {
		for _, result := range results {
			if p.mustAskAnew(result) != wanted {
				t.Errorf("%+v", result)
			}
		}
	}
	p.begin(begun("f", 2, false))
	if !p.gap(Gap{"a", Position{"f", 4}, "epoch_changed"}) {
		t.Fatal("it is of this session")
	}
	delivers(t, p, 4, false)
	if gap := delivers(t, p, 5, true); gap != nil {
		t.Fatalf("%+v", gap)
	}
	p.state = Unsubscribed
	if p.gap(Gap{"a", Position{"f", 9}, "trimmed"}) {
		t.Fatal("it has ended")
	}
}

func TestAReaderThatIsTooSlowIsToldAGapInThePlaceOfWhatWasDropped(t *testing.T) {
	s := &Subscription{place: place{channel: "a"}, max: 3, ready: make(chan struct{}, 1), changed: make(chan struct{})}
	s.begin(begun("e", 0, false))
	for offset := range uint64(7) {
		s.receive(frame{Message: &Message{Channel: "a", Offset: offset + 1}})
	}
	event, err := s.Next(t.Context())
	if gap, is := event.(Gap); !is || err != nil || gap != (Gap{"a", Position{"e", 4}, "slow_consumer"}) {
		t.Fatalf("%+v, %v", event, err)
	}
	for offset := uint64(5); offset <= 7; offset++ {
		event, err := s.Next(t.Context())
		if message, is := event.(Message); !is || err != nil || message.Offset != offset || s.Position().Offset != offset {
			t.Fatalf("%+v, %v", event, err)
		}
	}
	s.end(ErrUnsubscribed)
	for range 2 {
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrUnsubscribed) {
			t.Fatal(err)
		}
	}
}
