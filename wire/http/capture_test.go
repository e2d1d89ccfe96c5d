// SPDX-License-Identifier: Apache-2.0

package http_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/wire/http"
	"github.com/ringwall/ringwall/wire/internal/capture"
)

type recorded struct {
	Method, URI, Proto string
	Headers            [][2]string
	Body               string
	BodyB64            string `json:"body_b64"`
}

// wire writes a recorded request as it went over the net; a cut body gets its
// real length.
func (r recorded) wire() ([]byte, []byte) {
	body := []byte(r.Body)
	if r.BodyB64 != "" {
		body, _ = base64.StdEncoding.DecodeString(r.BodyB64)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", r.Method, r.URI, r.Proto)
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], "Content-Length") || strings.EqualFold(h[0], "Transfer-Encoding") {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes(), body
}

// TestRecordedBrowsing writes 26,000 real requests, pipelined and cut into
// segments, and reads them back.
func TestRecordedBrowsing(t *testing.T) {
	all := capture.Lines[recorded](t, capture.Data(t, "network/http_browsing.jsonl.zst"))
	var p http.Parser
	odd := map[string]int{}
	bad := 0
	for _, r := range all {
		wire, body := r.wire()
		var m *http.Message
		for seg := range slices.Chunk(wire, 1448) {
			for _, e := range p.Feed(seg) {
				if e.Kind == http.End {
					m = e.Message
				}
			}
		}
		if m == nil || m.Method != r.Method || m.Target != r.URI || m.Proto != r.Proto || !bytes.Equal(m.Body, body) || !m.Whole() {
			if bad++; bad < 10 {
				t.Errorf("%s %q: read as %+v", r.Method, r.URI, m)
			}
			continue
		}
		if m.Flags != 0 {
			odd[m.Flags.String()]++
		}
	}
	t.Logf("%d requests, %d read wrongly, odd ones %v", len(all), bad, odd)
}
