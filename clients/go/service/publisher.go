package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"google.golang.org/grpc"

	"switchboard"
	"switchboard/internal/api"
)

// Item is what to publish.
type Item struct {
	Channel string
	// Data is published as JSON, but bytes as they are.
	Data any
	// ID is the idempotency id: the same one publishes once. Empty: a random one.
	ID   string
	Tags map[string]string
	// ExcludeSession is not to receive it, usually the session that caused it.
	ExcludeSession string
	// ExpectedPosition: publish only while this is the channel's latest position; else it fails with position_unavailable.
	ExpectedPosition *switchboard.Position
	// SkipHistory: deliver to those subscribed now and keep nothing.
	SkipHistory bool
}

// Published says where an item is, or, for a duplicate, where the first one is.
type Published struct {
	Position  switchboard.Position
	Duplicate bool
}

// Result is the fate of one item among many: Err says why it was refused.
type Result struct {
	Published
	Err *switchboard.Error
}

// Publish publishes one item, and returns once the engine has accepted it. What may succeed later is repeated until the context is over (10
// seconds where it has no deadline), with its id: so it happens once.
func (s *Service) Publish(ctx context.Context, item Item) (Published, error) {
	written, err := item.write()
	if err != nil {
		return Published{}, err
	}
	answer, err := repeated(ctx, s, func(ctx context.Context) (*api.PublishResponse, error) {
		return s.publish.Publish(ctx, &api.PublishRequest{Item: written})
	})
	if err != nil {
		return Published{}, err
	}
	return Published{position(answer.GetPosition()), answer.GetDuplicate()}, nil
}

// PublishBatch publishes many items in one call, and gives the fate of each, in their order. Items of one channel keep their order. The
// error is of the call as a whole.
func (s *Service) PublishBatch(ctx context.Context, items []Item) ([]Result, error) {
	request := &api.PublishBatchRequest{}
	for _, item := range items {
		written, err := item.write()
		if err != nil {
			return nil, err
		}
		request.Items = append(request.Items, written)
	}
	answer, err := repeated(ctx, s, func(ctx context.Context) (*api.PublishBatchResponse, error) {
		return s.publish.PublishBatch(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(items))
	for _, result := range answer.GetResults() {
		results = append(results, fate(result))
	}
	return results, nil
}

// Stream publishes items as they flow, without waiting for one another. One goroutine may send while another receives.
type Stream struct {
	call grpc.BidiStreamingClient[api.PublishStreamRequest, api.PublishStreamResponse]
	sent uint64
}

// PublishStream opens a stream; cancelling the context ends it.
func (s *Service) PublishStream(ctx context.Context) (*Stream, error) {
	call, err := s.publish.PublishStream(s.authorized(ctx))
	if err != nil {
		return nil, errorOf(err)
	}
	return &Stream{call: call}, nil
}

// Send sends an item; the hub's flow control holds it back. After io.EOF Recv tells what is wrong.
func (s *Stream) Send(item Item) error {
	written, err := item.write()
	if err != nil {
		return err
	}
	s.sent++
	return s.call.Send(&api.PublishStreamRequest{Sequence: s.sent, Item: written})
}

// CloseSend says that nothing more comes.
func (s *Stream) CloseSend() error { return s.call.CloseSend() }

// Recv gives the fate of the next item, in their order; io.EOF after the last. When the stream breaks, items that were sent and not
// answered are not known to be published: sending them again, with their id, is safe.
func (s *Stream) Recv() (Result, error) {
	answer, err := s.call.Recv()
	if errors.Is(err, io.EOF) {
		return Result{}, io.EOF
	}
	if err != nil {
		return Result{}, errorOf(err)
	}
	return fate(answer.GetResult()), nil
}

func (i Item) write() (*api.PublishItem, error) {
	written := &api.PublishItem{
		Channel:        i.Channel,
		Id:             i.ID,
		Tags:           i.Tags,
		ExcludeSession: i.ExcludeSession,
		SkipHistory:    i.SkipHistory,
	}
	if written.GetId() == "" {
		var bits [16]byte
		// It never fails, says its documentation.
		_, _ = rand.Read(bits[:])
		written.Id = hex.EncodeToString(bits[:])
	}
	if i.ExpectedPosition != nil {
		written.ExpectedPosition = &api.Position{Epoch: i.ExpectedPosition.Epoch, Offset: i.ExpectedPosition.Offset}
	}
	if bytes, is := i.Data.([]byte); is {
		written.Payload = &api.PublishItem_Binary{Binary: bytes}
		return written, nil
	}
	text, err := json.Marshal(i.Data)
	if err != nil {
		return nil, &switchboard.Error{Code: "bad_request", Message: "the data is no JSON: " + err.Error()}
	}
	written.Payload = &api.PublishItem_Json{Json: text}
	return written, nil
}

func position(written *api.Position) switchboard.Position {
	return switchboard.Position{Epoch: written.GetEpoch(), Offset: written.GetOffset()}
}

func fate(result *api.PublishResult) Result {
	if published := result.GetPublished(); published != nil {
		return Result{Published: Published{position(published.GetPosition()), published.GetDuplicate()}}
	}
	told := result.GetError()
	return Result{Err: &switchboard.Error{Code: told.GetCode(), Message: told.GetMessage(), Retryable: told.GetRetryable()}}
}
