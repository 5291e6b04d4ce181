package switchboard

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Error is whatever the client fails with.
type Error struct {
	// Code is stable: one of the hub's error codes, closed_CODE for a close, or one of the client's own: aborted, disconnected, timeout,
	// unavailable, token_failed, closed, overflow.
	Code string
	// Message is for a person.
	Message string
	// Retryable says that the same may succeed later.
	Retryable bool
	// RetryAfter is how long to wait before; 0: no advice.
	RetryAfter time.Duration

	cause error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap gives what is behind it, such as the error of a context.
func (e *Error) Unwrap() error { return e.cause }

// Code gives the code of a client's error; empty for any other.
func Code(err error) string {
	var told *Error
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

func failure(code, format string, values ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, values...)}
}

// ended is what a context that is over means for what was being done.
func ended(ctx context.Context, what string) *Error {
	cause := ctx.Err()
	if errors.Is(cause, context.DeadlineExceeded) {
		return &Error{Code: "timeout", Message: what + ": not done in time; whether it happened may be unknown", Retryable: true, cause: cause}
	}
	return &Error{Code: "aborted", Message: what + ": aborted", cause: cause}
}
