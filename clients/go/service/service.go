// Package service is the control API of the Switchboard hub, gRPC, for services: publishing and presence.
//
// Reading order: service.go (the connection, and how calls are repeated), publisher.go, presence.go.
package service

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"switchboard"
	"switchboard/internal/api"
)

const (
	backoffBase = 100 * time.Millisecond
	backoffCap  = 5 * time.Second
	// timeoutDefault is for calls whose context has no deadline.
	timeoutDefault = 10 * time.Second
)

// Options are what a connection is made with.
type Options struct {
	// APIKey is the service's key; its scopes say what it may do.
	APIKey string
	// TLS is how TLS is spoken; nil: not at all.
	TLS *tls.Config
	// Dial has further options of the gRPC library.
	Dial []grpc.DialOption
}

// Service is a connection to the control API, for use by any number of goroutines.
type Service struct {
	conn     *grpc.ClientConn
	apiKey   string
	publish  api.PublishServiceClient
	presence api.PresenceServiceClient
}

// Connect makes a connection to the control API at host:port. It does not wait: the first call does, and says what is wrong.
func Connect(address string, options Options) (*Service, error) {
	secured := insecure.NewCredentials()
	if options.TLS != nil {
		secured = credentials.NewTLS(options.TLS)
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(secured),
		// Calls repeat themselves here, with their id and within their deadline; the library would do so without either.
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}, options.Dial...)
	conn, err := grpc.NewClient(address, dial...)
	if err != nil {
		return nil, err
	}
	return &Service{conn, options.APIKey, api.NewPublishServiceClient(conn), api.NewPresenceServiceClient(conn)}, nil
}

// Close ends the connection; calls under way fail.
func (s *Service) Close() error { return s.conn.Close() }

func (s *Service) authorized(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.apiKey)
}

// repeated makes a call, again and again while it may succeed later, until the context is over: then it gives the failure before, which
// says more than that time is over.
func repeated[Answer any](ctx context.Context, s *Service, call func(context.Context) (Answer, error)) (Answer, error) {
	if _, has := ctx.Deadline(); !has {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, timeoutDefault)
		defer done()
	}
	var before *switchboard.Error
	for attempt := 0; ; attempt++ {
		answer, err := call(s.authorized(ctx))
		if err == nil {
			return answer, nil
		}
		told := errorOf(err)
		if before != nil && ctx.Err() != nil {
			return answer, before
		}
		deadline, _ := ctx.Deadline()
		wait := waitFor(told, attempt)
		if !told.Retryable || wait >= time.Until(deadline) || !sleep(ctx, wait) {
			return answer, told
		}
		before = told
	}
}

func waitFor(told *switchboard.Error, attempt int) time.Duration {
	if told.RetryAfter > 0 {
		return told.RetryAfter
	}
	return time.Duration(rand.Float64() * min(float64(backoffCap), float64(backoffBase)*float64(uint64(1)<<min(attempt, 30))))
}

func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// errorOf gives a failure of a call as the client's error: the stable code is the reason of its ErrorInfo.
func errorOf(err error) *switchboard.Error {
	failed := status.Convert(err)
	// What failed without the hub's word has no reason: the library's own failures, or a proxy's.
	known := map[codes.Code]string{
		codes.DeadlineExceeded:  "timeout",
		codes.Canceled:          "aborted",
		codes.Unavailable:       "unavailable",
		codes.Unauthenticated:   "unauthenticated",
		codes.PermissionDenied:  "permission_denied",
		codes.NotFound:          "not_found",
		codes.InvalidArgument:   "bad_request",
		codes.ResourceExhausted: "limit_exceeded",
	}[failed.Code()]
	told := &switchboard.Error{Code: known, Message: failed.Message(), Retryable: known == "unavailable" || known == "timeout"}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			told.Code = detail.GetReason()
			told.Retryable = isRetryable(told.Code)
		case *errdetails.RetryInfo:
			told.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	if told.Code == "" {
		told.Code = "internal"
	}
	return told
}

func isRetryable(code string) bool {
	switch code {
	case "unavailable", "timeout", "rate_limited", "internal":
		return true
	}
	return false
}
