// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/proving/score"
)

// The JSON of the doors, in both shapes that are taken: plain (published_ns as a number, subjects
// with client, src, dst, path, pid) and the words of Ringwall's API (times as texts, subjects with
// process, file, flow or request inside).

// number is an integer written as a number or as a text.
type number int64

func (n *number) UnmarshalJSON(raw []byte) error {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	*n = number(v)
	return err
}

// decodeFinding reads one line of `findings`. A line of --follow may wrap it, and may be about
// something else: then there is no finding and no error.
func decodeFinding(line []byte) (*score.Finding, error) {
	var wrapped struct{ Finding, Incident, Action json.RawMessage }
	if err := json.Unmarshal(line, &wrapped); err != nil {
		// A finding may use the word incident for an id; then it is not wrapped.
		return nil, err
	}
	if wrapped.Finding != nil {
		line = wrapped.Finding
	} else if bytes.HasPrefix(wrapped.Incident, []byte("{")) || bytes.HasPrefix(wrapped.Action, []byte("{")) {
		return nil, nil
	}
	var f struct {
		score.Finding
		PublishedNS number    `json:"published_ns"`
		Published   time.Time `json:"published"`
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return nil, err
	}
	if f.ID == "" {
		return nil, errors.New("it has no id")
	}
	out := f.Finding
	out.PublishedNS = int64(f.PublishedNS)
	if !f.Published.IsZero() {
		out.PublishedNS = f.Published.UnixNano()
	}
	// Left out means zero, and the zero colour is grey.
	if out.Colour = strings.ToLower(out.Colour); out.Colour == "" {
		out.Colour = "grey"
	}
	for i, subject := range out.Subjects {
		out.Subjects[i] = plainSubject(subject)
	}
	return &out, nil
}

// plainSubject brings what lies inside a sighting to the top. A plain subject stays as it is.
func plainSubject(s map[string]any) map[string]any {
	inner := func(name string) map[string]any { m, _ := s[name].(map[string]any); return m }
	out := map[string]any{}
	for key, value := range s {
		if _, nested := value.(map[string]any); !nested {
			out[key] = value
		}
	}
	if kind, ok := s["kind"].(string); ok {
		out["kind"] = strings.ToLower(kind)
	}
	for _, name := range []string{"process", "file"} {
		for key, value := range inner(name) {
			out[key] = value
		}
	}
	flow := inner("flow")
	if request := inner("request"); request != nil {
		out["method"], out["uri"] = request["method"], request["uri"]
		if flow, _ = request["flow"].(map[string]any); flow != nil {
			out["client"] = endpoint(flow, "src")
		}
	}
	if flow != nil {
		out["src"], out["dst"] = endpoint(flow, "src"), endpoint(flow, "dst")
		if out["client"] == nil && (out["kind"] == "login" || out["kind"] == "flow") {
			out["client"] = out["src"]
		}
	}
	return out
}

// endpoint reads src_ip and src_port of a flow.
func endpoint(flow map[string]any, side string) string {
	text, _ := flow[side+"_ip"].(string)
	port, _ := flow[side+"_port"].(float64)
	addr, err := netip.ParseAddr(text)
	if err != nil || port < 0 || port > 65535 {
		return ""
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)).String()
}

// causeOf reads a root cause: plain, or a sighting.
func causeOf(raw json.RawMessage) *score.Cause {
	var s map[string]any
	if json.Unmarshal(raw, &s) != nil || len(s) == 0 {
		return nil
	}
	p := plainSubject(s)
	text := func(key string) string { v, _ := p[key].(string); return v }
	c := &score.Cause{Kind: text("kind"), Client: text("client"), URI: text("uri"), Method: text("method"), Host: text("host"), Path: text("path")}
	if value, ok := s["time"]; ok {
		c.Time, _ = json.Marshal(value)
	}
	if number, ok := s["time"].(float64); ok {
		c.Time = json.RawMessage(strconv.FormatInt(int64(number), 10))
	}
	return c
}

func decodeIncidents(answer []byte) ([]score.Incident, error) {
	return list(answer, func(raw []byte) (score.Incident, error) {
		var i struct {
			score.Incident
			RootCause json.RawMessage `json:"root_cause"`
			Entry     json.RawMessage `json:"entry"`
		}
		err := json.Unmarshal(raw, &i)
		out := i.Incident
		if out.RootCause = causeOf(i.RootCause); out.RootCause == nil {
			out.RootCause = causeOf(i.Entry)
		}
		return out, err
	})
}

func decodeTrace(answer []byte) (score.Trace, error) {
	var t struct {
		RootCause json.RawMessage `json:"root_cause"`
		Entry     json.RawMessage `json:"entry"`
		Rule      string          `json:"rule"`
	}
	err := json.Unmarshal(answer, &t)
	out := score.Trace{RootCause: causeOf(t.RootCause), Rule: t.Rule}
	if out.RootCause == nil {
		out.RootCause = causeOf(t.Entry)
	}
	return out, err
}

func decodeActions(answer []byte) ([]score.Action, error) {
	return list(answer, func(raw []byte) (score.Action, error) {
		var a struct {
			score.Action
			Subject map[string]any `json:"subject"`
			Ordered time.Time      `json:"ordered"`
		}
		err := json.Unmarshal(raw, &a)
		out := a.Action
		if out.Target == "" && a.Subject != nil {
			out.Target = targetText(plainSubject(a.Subject))
		}
		if !a.Ordered.IsZero() {
			out.OrderedNS = a.Ordered.UnixNano()
		}
		out.Verified = out.Verified || out.State == "verified"
		return out, err
	})
}

// targetText names what an action was against.
func targetText(s map[string]any) string {
	var words []string
	for _, key := range []string{"text", "path", "src", "dst", "exe", "pid"} {
		switch v := s[key].(type) {
		case string:
			words = append(words, v)
		case float64:
			words = append(words, fmt.Sprintf("%s %.0f", key, v))
		}
	}
	return strings.Join(words, " ")
}

// decodeEvents reads what the sensors saw and lost.
func decodeEvents(answer []byte) (score.Events, error) {
	var s struct {
		Events *score.Events
		Counts map[string]float64
		Lost   map[string]float64
	}
	if err := json.Unmarshal(answer, &s); err != nil {
		return score.Events{}, err
	}
	if s.Events != nil {
		return *s.Events, nil
	}
	e := score.Events{Seen: int64(s.Counts["events"])}
	for _, n := range s.Lost {
		e.Lost += int64(n)
	}
	return e, nil
}

// list decodes an array, null, or one value a line.
func list[T any](answer []byte, decode func([]byte) (T, error)) ([]T, error) {
	answer = bytes.TrimSpace(answer)
	var raws []json.RawMessage
	if len(answer) > 0 && answer[0] == '[' {
		if err := json.Unmarshal(answer, &raws); err != nil {
			return nil, err
		}
	} else {
		for decoder := json.NewDecoder(bytes.NewReader(answer)); ; {
			var raw json.RawMessage
			if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("value %d: %w", len(raws)+1, err)
			}
			raws = append(raws, raw)
		}
	}
	var values []T
	for n, raw := range raws {
		if string(raw) == "null" {
			continue
		}
		value, err := decode(raw)
		if err != nil {
			return values, fmt.Errorf("value %d: %w", n+1, err)
		}
		values = append(values, value)
	}
	return values, nil
}
