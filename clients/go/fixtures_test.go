package switchboard

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../fixtures/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// The golden frames that hub and clients of all languages read.
func TestEveryGoldenFrameIsRead(t *testing.T) {
	read := map[string][]frame{}
	for _, line := range lines(t, "frames.jsonl") {
		received, err := readFrame([]byte(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var kinds map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &kinds); err != nil {
			t.Fatal(err)
		}
		for kind := range kinds {
			field := reflect.ValueOf(received).FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, kind) })
			if !field.IsValid() || field.IsNil() {
				t.Fatalf("%s was not read as %s", line, kind)
			}
			read[kind] = append(read[kind], received)
		}
	}
	if len(read) != 12 {
		t.Fatalf("%d kinds of frames, not 12", len(read))
	}
	first := *read["message"][0].Message
	wanted := Message{
		Channel: "chat:1", Offset: 4, Data: []byte(`{"text":"hi"}`), ID: "once-1", From: &Sender{"ann", "8f03aa12-1-2c-5"},
		Time: time.UnixMilli(1700000000000), Tags: map[string]string{"kind": "note", `a "b"`: `c\d`},
	}
	if !reflect.DeepEqual(first, wanted) {
		t.Fatalf("%+v", first)
	}
	if second := *read["message"][1].Message; !second.Binary || string(second.Data) != "\x00\x01\xff" {
		t.Fatalf("%+v", second)
	}
	if second := *read["message"][1].Message; second.Decode(new(any)) == nil {
		t.Fatal("bytes are no JSON")
	}
	if gap := *read["gap"][0].Gap; gap != (Gap{"chat:1", Position{"1z141z3", 9}, "trimmed"}) {
		t.Fatalf("%+v", gap)
	}
	if opened := *read["open"][0].Open; opened.ID != "8f03aa12-1-2c-5" || opened.ExpiresAt != 1700000060000 || opened.Limits.CommandBytesMax != 65536 {
		t.Fatalf("%+v", opened)
	}
	if begun := *read["subscribed"][0].Subscribed; !begun.Policy.Durable || begun.Channel != "inbox:ann" || begun.Recovered {
		t.Fatalf("%+v", begun)
	}
	if told := *read["close"][0].Close; told != (closeFrame{1001, "the node drains", true, 2500}) {
		t.Fatalf("%+v", told)
	}
	if left := *read["unsubscribed"][0].Unsubscribed; !left.Resubscribe || left.Reason != "left the \"hall\"\nby hand" {
		t.Fatalf("%+v", left)
	}
	for _, received := range read["reply"] {
		answer := *received.Reply
		switch answer.ID {
		case 2:
			if err := answer.Error.failure(); err.Code != "rate_limited" || !err.Retryable || err.RetryAfter != 1500*time.Millisecond {
				t.Fatalf("%+v", err)
			}
		case 7:
			if page := *answer.Presence; page.Count != 3 || page.Users != 2 || page.NextPage != "p2" || string(page.Members[0].Info) != `{"name":"Ann"}` {
				t.Fatalf("%+v", page)
			}
		case 10:
			if page := *answer.History; len(page.Publications) != 2 || !reflect.DeepEqual(page.Publications[0], wanted) || page.Position.Offset != 5 {
				t.Fatalf("%+v", page)
			}
		}
	}
}

func TestCommandsAreWrittenAsTheHubReadsThem(t *testing.T) {
	data := func(value any) payload {
		written, err := writePayload(value)
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
	raw := func(text string) payload { return data(json.RawMessage(text)) }
	limit := func(value uint32) *uint32 { return &value }
	position := &Position{"1z141z3", 3}
	written := map[int]command{
		0:  {1, "subscribe", subscribeBody{Channel: "chat:1"}},
		1:  {2, "subscribe", subscribeBody{Channel: "chat:1", Position: position}},
		2:  {3, "subscribe", subscribeBody{Channel: "chat:1", Rewind: 10, Token: "abc.def.ghi"}},
		3:  {4, "unsubscribe", channelBody{"chat:1"}},
		4:  {5, "publish", publishBody{"chat:1", raw(`{"text":"hi \"you\"\n","n":[1,2.50,null]}`), ""}},
		6:  {6, "publish", publishBody{"chat:1", data([]byte{0, 1, 255}), ""}},
		7:  {7, "presence", presenceBody{Channel: "chat:1"}},
		8:  {8, "presence", presenceBody{Channel: "chat:1", Limit: limit(0)}},
		9:  {9, "presence", presenceBody{"chat:1", limit(50), "p2"}},
		10: {10, "history", historyBody{Channel: "chat:1"}},
		11: {11, "history", historyBody{"chat:1", position, limit(20), true}},
		12: {12, "call", callBody{"quote", data(map[string]string{"symbol": "X"})}},
		13: {13, "call", callBody{Method: "quote"}},
		14: {14, "ack", ackBody{"inbox:ann", 42}},
		15: {15, "refresh", refreshBody{"abc.def.ghi"}},
		16: {0, "ping", struct{}{}},
	}
	for index, line := range lines(t, "commands.jsonl") {
		asked, is := written[index]
		if !is {
			continue // A publish without a number, which this client never sends.
		}
		text, err := asked.write()
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != line {
			t.Errorf("%s was to be written, not %s", line, text)
		}
	}
	if text, err := (command{7, "publish", publishBody{"a", data(nil), "once"}}).write(); err != nil || string(text) != `{"id":7,"publish":{"channel":"a","data":null,"id":"once"}}` {
		t.Fatalf("%s, %v", text, err)
	}
	if _, err := writePayload(make(chan int)); Code(err) != "bad_request" {
		t.Fatal(err)
	}
}

func TestWhatIsNotKnownIsPassedOverAndWhatIsNoFrameIsRefused(t *testing.T) {
	if received, err := readFrame([]byte(`{"confetti":{"colour":"red"}}`)); err != nil || received != (frame{}) {
		t.Fatalf("%+v, %v", received, err)
	}
	for _, text := range []string{"", "7", "[1]", `{"open":7}`, `{"message":{"data":"?","binary":true}}`} {
		if _, err := readFrame([]byte(text)); err == nil {
			t.Errorf("%q is no frame", text)
		}
	}
}
