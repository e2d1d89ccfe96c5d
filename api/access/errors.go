// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Errors that a door turns into a status. Each may come wrapped; none holds a secret or
// tells whether a user exists.
var (
	ErrUnauthenticated = errors.New("log in, or send a token that is valid")
	ErrForbidden       = errors.New("not allowed")
	ErrStale           = errors.New("prove again who you are, then repeat this") // by Confirm or a log-in
	ErrThrottled       = errors.New("too many attempts")                         // a *Throttled
	ErrInput           = errors.New("not acceptable")
	ErrConflict        = errors.New("it stands against what is there")
	ErrNotFound        = errors.New("there is none such")
	ErrLink            = errors.New("the link was used, has expired or was never given")
	ErrUnavailable     = errors.New("a service that is needed for this gave no answer")

	errWrong = fmt.Errorf("%w: name, password or code is wrong", ErrUnauthenticated) // every failed log-in
)

// Status is the HTTP status of an error from here, 0 for others.
func Status(err error) int {
	for _, s := range []struct {
		err    error
		status int
	}{
		{ErrThrottled, http.StatusTooManyRequests}, {ErrStale, http.StatusForbidden}, {ErrForbidden, http.StatusForbidden},
		{ErrUnauthenticated, http.StatusUnauthorized}, {ErrInput, http.StatusUnprocessableEntity}, {ErrConflict, http.StatusConflict},
		{ErrNotFound, http.StatusNotFound}, {ErrLink, http.StatusGone}, {ErrUnavailable, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return 0
}

// Throttled is ErrThrottled with the time to wait.
type Throttled struct{ RetryAfter time.Duration }

func (t *Throttled) Error() string {
	return "too many attempts; try again in " + strconv.Itoa(t.Seconds()) + " s"
}

// Is makes it an ErrThrottled.
func (t *Throttled) Is(target error) bool { return target == ErrThrottled }

// Seconds is the value for a Retry-After header, at least 1.
func (t *Throttled) Seconds() int {
	return int(max(time.Second, t.RetryAfter+time.Second-1) / time.Second)
}

func because(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{kind}, args...)...)
}

func forbidden(format string, args ...any) error { return because(ErrForbidden, format, args...) }
func input(format string, args ...any) error     { return because(ErrInput, format, args...) }
