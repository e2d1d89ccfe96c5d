// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// JSON walks a JSON text of any length in bounded memory: each value that is decoded
// or skipped may have at most MaxItem bytes a token, and nesting ends at maxDepth.
// Not safe for several goroutines. Errors of syntax, size and depth are final.
type JSON struct {
	dec   *json.Decoder
	left  *allowance
	depth int
}

// NewJSON reads from r.
func NewJSON(r io.Reader) *JSON {
	left := &allowance{r: r}
	return &JSON{dec: json.NewDecoder(left), left: left}
}

// More reports whether the array or object being walked has a further element.
func (j *JSON) More() bool {
	j.left.n = MaxItem
	return j.dec.More()
}

// Token returns the next token: a json.Delim, string, float64, bool or nil.
func (j *JSON) Token() (json.Token, error) {
	j.left.n = MaxItem
	t, err := j.dec.Token()
	if err != nil {
		return nil, j.whole(err)
	}
	switch t {
	case json.Delim('{'), json.Delim('['):
		if j.depth++; j.depth > maxDepth {
			return nil, ErrTooDeep
		}
	case json.Delim('}'), json.Delim(']'):
		j.depth--
	}
	return t, nil
}

// Raw returns the next whole value.
func (j *JSON) Raw() (json.RawMessage, error) {
	j.left.n = MaxItem
	var raw json.RawMessage
	err := j.dec.Decode(&raw)
	return raw, j.whole(err)
}

// Skip passes over the next value without holding it.
func (j *JSON) Skip() error {
	start := j.depth
	for {
		if _, err := j.Token(); err != nil {
			return err
		}
		if j.depth <= start {
			return nil
		}
	}
}

// Object calls field for each key of the object whose '{' was just read; field must
// consume the value. It ends behind the closing '}'.
func (j *JSON) Object(field func(key string) error) error {
	return j.until(func() error {
		t, err := j.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("byte %d: a key was expected", j.dec.InputOffset())
		}
		return field(key)
	})
}

// Array calls element before each element of the array whose '[' was just read.
func (j *JSON) Array(element func() error) error { return j.until(element) }

func (j *JSON) until(f func() error) error {
	for j.More() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err := j.Token()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("byte %d: %w: the file is cut short", j.dec.InputOffset(), io.ErrUnexpectedEOF)
	}
	return err
}

// whole adds the place to an error; io.EOF between values stays as it is.
func (j *JSON) whole(err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF) && j.depth == 0:
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("byte %d: %w: the file is cut short", j.dec.InputOffset(), io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("byte %d: %w", j.dec.InputOffset(), err)
}

// allowance hands out at most n bytes until somebody renews it.
type allowance struct {
	r io.Reader
	n int
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.n <= 0 {
		return 0, ErrTooLarge
	}
	n, err := a.r.Read(p[:min(len(p), a.n)])
	a.n -= n
	return n, err
}
