package switchboard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// loss is how a session ended, or that there was none to be had. Exactly one of close, status and isUntrusted is set where the hub, or
// somebody before it, said something.
type loss struct {
	close *closeFrame
	// framed: a close frame came, and not the close code alone.
	framed bool
	// status is an HTTP status that came in place of a session, and code its problem's, empty when somebody else than the hub answered.
	status int
	// isUntrusted: somebody else than the hub is there, as far as certificates can tell.
	isUntrusted bool
	code        string
	message     string
	retryAfter  time.Duration
}

// unreachable is what the failure of an opening means, in which nobody answered.
func unreachable(err error) *loss {
	var certificate *tls.CertificateVerificationError
	if !errors.As(err, &certificate) {
		return &loss{message: err.Error()}
	}
	// One that has ended is renewed some day; whom it is for, and who says so, will be the same the next time.
	var invalid x509.CertificateInvalidError
	passes := errors.As(certificate, &invalid) && invalid.Reason == x509.Expired
	return &loss{isUntrusted: !passes, message: "the hub's certificate is not trusted: " + certificate.Err.Error()}
}

// next is what to do after a loss.
type next int

const (
	again next = iota
	withToken
	stop
)

type verdict struct {
	next    next
	code    string
	message string
	// after replaces the backoff; 0: no advice.
	after time.Duration
}

// judgeCode judges a close code by itself: what its range says.
func judgeCode(code int) next {
	switch {
	case code >= 4100 && code < 4200:
		return withToken
	case code >= 4200 && code < 4300:
		return stop
	}
	switch code {
	case 1000, 1002, 1003, 1007, 1008, 1009, 1010:
		return stop
	}
	return again
}

func judge(lost loss) verdict {
	switch {
	case lost.close != nil:
		return judgeClose(*lost.close, lost.framed)
	case lost.status != 0:
		return judgeRefusal(lost)
	case lost.isUntrusted:
		return verdict{next: stop, code: "untrusted", message: lost.message}
	}
	return verdict{next: again, code: "unavailable", message: lost.message}
}

func judgeClose(told closeFrame, framed bool) verdict {
	decided := judgeCode(told.Code)
	// Where a close frame came, its reconnect decides; the range still tells whether a new token is needed.
	switch {
	case framed && decided != withToken:
		decided = stop
		if told.Reconnect {
			decided = again
		}
	case framed && !told.Reconnect && told.Code != 4100 && told.Code != 4101:
		decided = stop
	}
	message := told.Reason
	if message == "" {
		message = fmt.Sprintf("closed with %d", told.Code)
	}
	after := time.Duration(told.ReconnectAfter) * time.Millisecond
	return verdict{next: decided, code: fmt.Sprintf("closed_%d", told.Code), message: message, after: after}
}

func judgeRefusal(lost loss) verdict {
	told := verdict{next: stop, code: lost.code, message: lost.message, after: lost.retryAfter}
	if told.code == "" {
		told.code = "unavailable"
	}
	if told.message == "" {
		told.message = fmt.Sprintf("refused with status %d", lost.status)
	}
	switch {
	case lost.code == "token_expired" || lost.code == "unauthenticated":
		told.next = withToken
	// 429 and 503 ask to wait, whoever says so; 410 means that the session is gone, and another may be opened.
	// So does whoever takes upgrades out of requests: the hub finds nothing else wrong, and the next network may let them through.
	case lost.status == http.StatusUpgradeRequired || lost.status == http.StatusTooManyRequests || lost.status == http.StatusServiceUnavailable || lost.status == http.StatusGone:
		told.next = again
	// Not the hub's own words: a proxy's, and perhaps not for long.
	case lost.code == "" && lost.status == http.StatusUnauthorized:
		told.next = withToken
	case lost.code == "" || lost.status >= 500 || lost.status == http.StatusRequestTimeout:
		told.next = again
	}
	return told
}

// retryAfter reads Retry-After, be it seconds or a date; 0 when there is none or it says nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
