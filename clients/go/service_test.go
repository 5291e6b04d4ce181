package switchboard_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"switchboard"
	"switchboard/internal/api"
	"switchboard/service"
)

func connect(t *testing.T, address, key string) *service.Service {
	t.Helper()
	hub, err := service.Connect(address, service.Options{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hub.Close() })
	return hub
}

func TestServicesAtAHub(t *testing.T) {
	stage := startStage(t)
	for name, test := range map[string]func(*testing.T, *stageOf, *service.Service){
		"what a service publishes arrives":                               arrives,
		"a publish may depend on the latest position":                    compareAndSet,
		"a batch and a stream tell the fate of each item":                fates,
		"failures are the hub's by their code, and end at the deadline":  failures,
		"presence is listed, counted, looked up, watched and resumed":    presence,
		"a watch of what may not be read ends with the reason":           watchRefused,
		"a cancelled context ends a watch and a stream, and tells of it": cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, &stageOf{stage, t.Context()}, connect(t, stage.GRPC, stage.APIKey))
		})
	}
	nothingLeft(t)
}

func arrives(t *testing.T, stage *stageOf, hub *service.Service) {
	name := channel("chat")
	subscription := stage.subscribe(t, stage.client(t, stage.Proxy, switchboard.Options{}), name, switchboard.Start{})
	item := service.Item{Channel: name, Data: object{"text": "hé"}, ID: "once", Tags: map[string]string{"kind": "note"}}
	first, err := hub.Publish(stage.ctx, item)
	if err != nil || first.Duplicate {
		t.Fatal(first, err)
	}
	if again, err := hub.Publish(stage.ctx, item); err != nil || !again.Duplicate || again.Position != first.Position {
		t.Fatal(again, err)
	}
	if _, err := hub.Publish(stage.ctx, service.Item{Channel: name, Data: []byte{0, 255}}); err != nil {
		t.Fatal(err)
	}
	message := read(t, subscription).(switchboard.Message)
	if string(message.Data) != `{"text":"hé"}` || message.From != nil || message.ID != "once" || message.Tags["kind"] != "note" {
		t.Fatalf("%+v", message)
	}
	if bytes := read(t, subscription).(switchboard.Message); string(bytes.Data) != "\x00\xff" || bytes.ID == "" {
		t.Fatalf("%+v", bytes)
	}
}

func compareAndSet(t *testing.T, stage *stageOf, hub *service.Service) {
	name := channel("chat")
	first, err := hub.Publish(stage.ctx, service.Item{Channel: name, Data: 1})
	if err != nil {
		t.Fatal(err)
	}
	item := service.Item{Channel: name, Data: 2, ExpectedPosition: &first.Position}
	if second, err := hub.Publish(stage.ctx, item); err != nil || second.Position.Offset != 2 {
		t.Fatal(second, err)
	}
	if _, err := hub.Publish(stage.ctx, item); switchboard.Code(err) != "position_unavailable" {
		t.Fatal(err)
	}
}

func fates(t *testing.T, stage *stageOf, hub *service.Service) {
	name := channel("chat")
	results, err := hub.PublishBatch(stage.ctx, []service.Item{{Channel: name, Data: 1}, {Channel: "nowhere:1", Data: 2}, {Channel: name, Data: 3}})
	if err != nil || len(results) != 3 || results[0].Position.Offset != 1 || results[1].Err.Code != "unknown_namespace" || results[2].Position.Offset != 2 {
		t.Fatal(results, err)
	}
	stream, err := hub.PublishStream(stage.ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for n := range 500 {
			item := service.Item{Channel: name, Data: n}
			if n == 250 {
				item.Channel = "nowhere:1"
			}
			if err := stream.Send(item); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	var refused []int
	offset := uint64(2)
	for n := 0; ; n++ {
		result, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if n != 500 {
				t.Fatalf("%d results", n)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if result.Err != nil {
			refused = append(refused, n)
		} else if offset++; result.Position.Offset != offset {
			t.Fatalf("offset %d, not %d", result.Position.Offset, offset)
		}
	}
	if err := <-sent; err != nil || !slices.Equal(refused, []int{250}) {
		t.Fatal(refused, err)
	}
}

func failures(t *testing.T, stage *stageOf, hub *service.Service) {
	if _, err := hub.Publish(stage.ctx, service.Item{Channel: "nowhere:1", Data: 1}); switchboard.Code(err) != "unknown_namespace" {
		t.Error(err)
	}
	if _, err := hub.Publish(stage.ctx, service.Item{Channel: "chat:1", Data: make(chan int)}); switchboard.Code(err) != "bad_request" {
		t.Error(err)
	}
	if _, err := connect(t, stage.GRPC, "wrong").LookupUser(stage.ctx, "ann"); switchboard.Code(err) != "unauthenticated" {
		t.Error(err)
	}
	// Port 9 takes no connections, so every attempt fails, and the last failure is told at the deadline.
	short, done := context.WithTimeout(stage.ctx, 300*time.Millisecond)
	defer done()
	if _, err := connect(t, "127.0.0.1:9", "any").Publish(short, service.Item{Channel: "chat:1", Data: 1}); switchboard.Code(err) != "unavailable" {
		t.Error(err)
	}
}

func presence(t *testing.T, stage *stageOf, hub *service.Service) {
	room, user := channel("room"), unique("user")
	ctx, done := context.WithCancel(stage.ctx)
	defer done()
	changes := make(chan service.Change, 10)
	go func() {
		for change, err := range hub.Watch(ctx, room, nil) {
			if err == nil {
				changes <- change
			}
		}
		close(changes)
	}()
	if first := <-changes; first.Snapshot == nil || len(first.Snapshot) != 0 {
		t.Fatalf("%+v", first)
	}
	grants := object{"subscribe": []string{"*"}, "info": object{"name": "Ann"}}
	ann := stage.clientOf(t, user, stage.Proxy, grants, switchboard.Options{})
	stage.subscribe(t, ann, room, switchboard.Start{})
	joined := <-changes
	if joined.Join == nil || joined.Join.User != user || string(joined.Join.Info) != `{"name":"Ann"}` {
		t.Fatalf("%+v", joined)
	}
	other := stage.clientOf(t, user, stage.Proxy, grants, switchboard.Options{})
	stage.subscribe(t, other, room, switchboard.Start{})
	<-changes
	var users []string
	for member, err := range hub.AllMembers(stage.ctx, room, 1) {
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, member.User)
	}
	if !slices.Equal(users, []string{user, user}) {
		t.Fatal(users)
	}
	counts, err := hub.CountMembers(stage.ctx, room, channel("room"))
	if err != nil || counts[0].Members != 2 || counts[0].Users != 1 || counts[1].Members != 0 {
		t.Fatal(counts, err)
	}
	online, err := hub.LookupUser(stage.ctx, user)
	if err != nil || !online.Online || len(online.Sessions) != 2 || !slices.Equal(online.Sessions[0].Channels, []string{room}) {
		t.Fatal(online, err)
	}
	other.Close()
	left := <-changes
	if left.Leave == nil {
		t.Fatalf("%+v", left)
	}
	done()
	for range changes {
		t.Fatal("nothing more has changed")
	}
	ann.Close()
	// It resumes after the last change that it saw.
	for change, err := range hub.Watch(stage.ctx, room, &left.Position) {
		if err != nil || change.Leave == nil && change.Snapshot == nil {
			t.Fatal(change, err)
		}
		if change.Leave != nil && change.Position.Sequence != left.Position.Sequence+1 {
			t.Fatalf("%+v", change)
		}
		break
	}
}

func watchRefused(t *testing.T, stage *stageOf, _ *service.Service) {
	var told error
	for _, err := range connect(t, stage.GRPC, "wrong").Watch(stage.ctx, "room:1", nil) {
		told = err
	}
	if switchboard.Code(told) != "unauthenticated" {
		t.Fatal(told)
	}
}

func cancelled(t *testing.T, stage *stageOf, hub *service.Service) {
	ctx, cancel := context.WithCancel(stage.ctx)
	defer cancel()
	stream, err := hub.PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range hub.Watch(ctx, channel("room"), nil) {
		if err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if _, err := stream.Recv(); switchboard.Code(err) != "aborted" {
		t.Fatal(err)
	}
}

// breaking breaks a watch off after a join, and tells where the next one resumes.
type breaking struct {
	api.UnimplementedPresenceServiceServer
	resumed chan *api.PresencePosition
}

func (b *breaking) WatchPresence(request *api.WatchPresenceRequest, stream grpc.ServerStreamingServer[api.WatchPresenceResponse]) error {
	b.resumed <- request.GetResume()
	told := []*api.WatchPresenceResponse{{Change: &api.WatchPresenceResponse_Leave{Leave: &api.PresenceLeave{Sequence: 9}}}}
	if request.GetResume() == nil {
		part := func(complete bool) *api.WatchPresenceResponse {
			members := []*api.Member{{Session: "s"}}
			snapshot := &api.PresenceSnapshot{Members: members, Complete: complete, Sequence: 7, Epoch: "e"}
			return &api.WatchPresenceResponse{Change: &api.WatchPresenceResponse_Snapshot{Snapshot: snapshot}}
		}
		join := &api.WatchPresenceResponse_Join{Join: &api.PresenceJoin{Sequence: 8}}
		told = []*api.WatchPresenceResponse{part(false), part(true), {Change: join}}
	}
	for _, change := range told {
		if err := stream.Send(change); err != nil {
			return err
		}
	}
	return status.Error(codes.Unavailable, "gone for a moment")
}

func TestAWatchThatBreaksOffResumesAfterTheLastChange(t *testing.T) {
	served := &breaking{resumed: make(chan *api.PresencePosition, 10)}
	hub := connect(t, serve(t, func(server *grpc.Server) { api.RegisterPresenceServiceServer(server, served) }), "any")
	var changes []service.Change
	for change, err := range hub.Watch(t.Context(), "room:1", nil) {
		if err != nil {
			t.Fatal(err)
		}
		if changes = append(changes, change); len(changes) == 3 {
			break
		}
	}
	if len(changes[0].Snapshot) != 2 || changes[1].Join == nil || changes[2].Leave == nil {
		t.Fatalf("%+v", changes)
	}
	if first, second := <-served.resumed, <-served.resumed; first != nil || second.GetEpoch() != "e" || second.GetSequence() != 8 {
		t.Fatal(first, second)
	}
}

func serve(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// flaky answers the first attempt with UNAVAILABLE, though it has published.
type flaky struct {
	api.UnimplementedPublishServiceServer
	ids chan string
}

func (f *flaky) Publish(_ context.Context, request *api.PublishRequest) (*api.PublishResponse, error) {
	f.ids <- request.GetItem().GetId()
	if len(f.ids) == 1 {
		return nil, status.Error(codes.Unavailable, "gone for a moment")
	}
	return &api.PublishResponse{Position: &api.Position{Epoch: "e", Offset: 7}, Duplicate: true}, nil
}

func TestARepeatedPublishCarriesTheIdOfTheFirst(t *testing.T) {
	served := &flaky{ids: make(chan string, 10)}
	hub := connect(t, serve(t, func(server *grpc.Server) { api.RegisterPublishServiceServer(server, served) }), "any")
	published, err := hub.Publish(t.Context(), service.Item{Channel: "chat:1", Data: 1})
	if err != nil || !published.Duplicate || published.Position.Offset != 7 {
		t.Fatal(published, err)
	}
	if first, second := <-served.ids, <-served.ids; first == "" || first != second {
		t.Fatalf("%q and %q", first, second)
	}
}
