// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Errors that a door turns into a status. Each may come wrapped; none holds a secret or
// tells whether a user exists.
var (
	ErrUnauthenticated = errors.New("log in, or send a token that is valid")                   // 401
	ErrForbidden       = errors.New("not allowed")                                             // 403
	ErrStale           = errors.New("prove again who you are, then repeat this")               // 403, then Confirm
	ErrThrottled       = errors.New("too many attempts")                                       // 429
	ErrInput           = errors.New("not acceptable")                                          // 400, 422
	ErrConflict        = errors.New("it stands against what is there")                         // 409
	ErrNotFound        = errors.New("there is none such")                                      // 404
	ErrLink            = errors.New("the link was used, has expired or was never given")       // 410
	ErrUnavailable     = errors.New("a service that is needed for this gave no answer")        // 502, 503
	errWrong           = fmt.Errorf("%w: name, password or code is wrong", ErrUnauthenticated) // every failed log-in
)

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
