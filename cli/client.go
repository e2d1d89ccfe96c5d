// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api"
)

// client asks the brain over its unix socket.
type client struct {
	path string
	http *http.Client
}

// socketPath is where the brain of a data folder listens.
func socketPath(data string) string { return filepath.Join(data, "ringwall.sock") }

func newClient(data string) *client {
	path := socketPath(data)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// open sends a request and gives the body of the answer, or the problem as an error.
func (c *client) open(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	u := url.URL{Scheme: "http", Host: "ringwall", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), in)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, &missing{fmt.Errorf("ask the brain at %s: %w; is `ringwall up` (or `ringwall brain`) running with this --data?", c.path, unwrapURL(err))}
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		var p huma.ErrorModel
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if json.Unmarshal(raw, &p) == nil && p.Detail != "" {
			var where strings.Builder
			for _, d := range p.Errors {
				fmt.Fprintf(&where, "; %s: %s", d.Location, d.Message)
			}
			if strings.Contains(strings.ToLower(p.Detail), strings.ToLower(p.Title)) {
				return nil, fmt.Errorf("%s%s", p.Detail, where.String()) // it says so itself
			}
			return nil, fmt.Errorf("%s: %s%s", strings.ToLower(p.Title), p.Detail, where.String())
		}
		return nil, fmt.Errorf("the brain answered %s: %s", res.Status, bytes.TrimSpace(raw))
	}
	return res.Body, nil
}

func unwrapURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// get reads one JSON document.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := c.open(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

// post sends one JSON document and reads one.
func (c *client) post(ctx context.Context, path string, query url.Values, body, into any) error {
	out, err := c.open(ctx, http.MethodPost, path, query, body)
	if err != nil {
		return err
	}
	defer out.Close()
	return json.NewDecoder(out).Decode(into)
}

// lineMax bounds one JSON line: a finding with all its evidence stays far below.
const lineMax = 8 << 20

// lines calls f with every JSON line of an answer.
func (c *client) lines(ctx context.Context, method, path string, query url.Values, body any, f func([]byte) error) error {
	out, err := c.open(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer out.Close()
	sc := bufio.NewScanner(out)
	sc.Buffer(make([]byte, 64<<10), lineMax)
	for sc.Scan() {
		if err := f(sc.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil // Ctrl-C ends a follow
	}
	return sc.Err()
}

// pages reads a list to its end, or up to most items when most is above 0. Each must be
// a T; what is given is the answer's own text.
func pages[T any](ctx context.Context, c *client, path string, query url.Values, most int) (out []json.RawMessage, err error) {
	query.Set("limit", "1000")
	for {
		if left := most - len(out); most > 0 && left < 1000 {
			query.Set("limit", strconv.Itoa(left))
		}
		var page api.Page[json.RawMessage]
		if err := c.get(ctx, path, query, &page); err != nil {
			return nil, err
		}
		for _, raw := range page.Items {
			var v T
			if err := json.Unmarshal(raw, &v); err != nil {
				return nil, fmt.Errorf("read %s: %w; is the brain of another version?", path, err)
			}
		}
		out = append(out, page.Items...)
		if page.Next == "" || most > 0 && len(out) >= most {
			return out, nil
		}
		query.Set("after", page.Next)
	}
}

// follow calls f with every finding, incident and action as it happens, until ctx ends.
func (c *client) follow(ctx context.Context, query url.Values, f func(kind string, data []byte) error) error {
	kind := ""
	return c.lines(ctx, http.MethodGet, "/v1/follow", query, nil, func(line []byte) error {
		if name, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			kind = string(name)
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && kind != "beat" {
			return f(kind, data)
		}
		return nil
	})
}
