// SPDX-License-Identifier: Apache-2.0

// Package misp reads MISP: event JSON, attribute exports and feed folders with a
// manifest.
//
// In go the bytes of one file, or a folder; out come feed.Indicator values from
// attributes that are marked for detection (to_ids). It believes to_ids, deleted, the
// times and the tags (tlp:*, galaxies, misp:confidence-level) and nothing of the rest.
//
// The worst trap: most attributes of an event are context (to_ids false): the address of
// the victim, the link to a report. They are counted and left out. A second one is
// composite types (ip-dst|port, filename|sha256), of which only the part that can be
// looked up is taken.
package misp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/feed"
)

var (
	errContext = errors.New("context (to_ids is false)")
	errDeleted = errors.New("deleted")
	errType    = errors.New("a type that a look-up does not ask for")
)

// Read reads one JSON file: {"Event":…}, {"response":[…]}, lists of events or attributes.
// It yields event by event, in file order; the error is for the whole file and means:
// use nothing of it.
func Read(name string, r io.Reader, yield feed.Yield) (feed.Report, error) {
	rep := feed.Report{Feed: name}
	err := read(&rep, "", r, yield)
	var y yieldError
	switch {
	case errors.As(err, &y):
		return rep, y.error
	case err != nil:
		return rep, rep.Wrap(err)
	}
	return rep, rep.Close()
}

func read(rep *feed.Report, file string, r io.Reader, yield feed.Yield) error {
	b, err := feed.Sniff(r)
	if err != nil {
		return err
	}
	if head, _ := b.Peek(3); string(head) == "\xef\xbb\xbf" {
		b.Discard(3)
	}
	w := walker{j: feed.NewJSON(b), rep: rep, file: file, yield: yield}
	for err == nil {
		err = w.value("")
		if err == nil {
			err = w.flush(&event{})
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// yieldError keeps the caller's own error apart from errors of the file.
type yieldError struct{ error }

// tag is one label of an event or attribute.
type tag struct {
	Name string `json:"name"`
}

// attribute holds what we read of one.
type attribute struct {
	UUID      string          `json:"uuid"`
	Type      string          `json:"type"`
	Value     string          `json:"value"`
	ToIDs     truth           `json:"to_ids"`
	Deleted   truth           `json:"deleted"`
	Timestamp json.RawMessage `json:"timestamp"`
	FirstSeen string          `json:"first_seen"`
	LastSeen  string          `json:"last_seen"`
	Comment   string          `json:"comment"`
	Tag       []tag           `json:"Tag"`
}

// truth reads true, "1", 1 and their opposites: exports of different age differ.
type truth bool

func (t *truth) UnmarshalJSON(b []byte) error {
	switch strings.Trim(string(b), `"`) {
	case "true", "1":
		*t = true
	case "false", "0", "null", "":
		*t = false
	default:
		return fmt.Errorf("%s is neither true nor false", feed.Quote(string(b)))
	}
	return nil
}

// event collects what belongs to one event until its end, for its tags may stand last.
type event struct {
	info string
	tags []string
	out  []feed.Indicator
}

type walker struct {
	j     *feed.JSON
	rep   *feed.Report
	file  string
	yield feed.Yield
	loose event // attributes outside any event
	cur   *event
}

// value reads one value under a key that may hold events or attributes.
func (w *walker) value(key string) error {
	t, err := w.j.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('['):
		return w.j.Array(func() error {
			if key == "Attribute" {
				return w.attribute()
			}
			return w.value(key)
		})
	case json.Delim('{'):
		if key == "Event" {
			return w.event()
		}
		return w.j.Object(w.field)
	}
	return nil
}

// field reads one member of an object on the way to events or attributes.
func (w *walker) field(key string) error {
	switch key {
	case "Event", "response", "Attribute", "Object", "ShadowAttribute":
		if key == "ShadowAttribute" { // proposals of others, not yet accepted
			return w.j.Skip()
		}
		return w.value(key)
	case "Tag":
		return w.tags()
	case "info":
		if w.cur == nil {
			return w.j.Skip()
		}
		raw, err := w.j.Raw()
		if err == nil {
			json.Unmarshal(raw, &w.cur.info) // a comment: of another type it stays empty
		}
		return err
	}
	return w.j.Skip()
}

func (w *walker) event() error {
	outer := w.cur
	ev := &event{}
	w.cur = ev
	err := w.j.Object(w.field)
	w.cur = outer
	if err != nil {
		return err
	}
	return w.flush(ev)
}

// tags reads the tags of the event being read.
func (w *walker) tags() error {
	raw, err := w.j.Raw()
	if err != nil {
		return err
	}
	var list []tag
	if json.Unmarshal(raw, &list) == nil && w.cur != nil {
		for _, t := range list {
			w.cur.tags = append(w.cur.tags, t.Name)
		}
		w.cur.tags = feed.Tags(w.cur.tags...)
	}
	return nil
}

func (w *walker) attribute() error {
	raw, err := w.j.Raw()
	if err != nil {
		return err
	}
	w.rep.Read++
	item := fmt.Sprintf("attribute %d", w.rep.Read)
	if w.file != "" {
		item = w.file + " " + item
	}
	var a attribute
	if err := json.Unmarshal(raw, &a); err != nil {
		w.rep.Fail(0, item, err)
		return nil
	}
	if a.UUID != "" {
		item += " " + feed.Comment(a.UUID)
	}
	switch {
	case bool(a.Deleted):
		w.rep.Skip(0, item, errDeleted)
		return nil
	case !bool(a.ToIDs):
		w.rep.Skip(0, item, errContext)
		return nil
	}
	return w.claim(&a, item)
}

func (w *walker) claim(a *attribute, item string) error {
	parts, note := split(a.Type, a.Value)
	if parts == nil {
		w.rep.Skip(0, item, errType)
		return nil
	}
	ind := feed.Indicator{Source: w.rep.Feed, Comment: feed.Comment(strings.Trim(note+"; "+a.Comment, "; "))}
	if err := times(&ind, a); err != nil {
		w.rep.Fail(0, item, err)
		return nil
	}
	for _, t := range a.Tag {
		ind.Tags = append(ind.Tags, t.Name)
	}
	ind.Tags = feed.Tags(ind.Tags...)
	ev := w.cur
	if ev == nil {
		ev = &w.loose
	}
	var bad error
	good := 0
	for _, p := range parts {
		one := ind
		var err error
		if one.Kind, one.Value, err = feed.Canonical(p.kind, p.value); err != nil {
			bad = err
			continue
		}
		good++
		ev.out = append(ev.out, one)
	}
	if good == 0 {
		w.rep.Fail(0, item, bad)
	}
	if len(ev.out) > feed.MaxHeld {
		return feed.ErrTooMany
	}
	return nil
}

// times: last_seen is an observation; without it the edit time of the attribute stands in.
func times(ind *feed.Indicator, a *attribute) (err error) {
	if ind.FirstSeen, err = feed.Time(a.FirstSeen); err != nil {
		return fmt.Errorf("first_seen: %w", err)
	}
	if ind.LastSeen, err = feed.Time(a.LastSeen); err != nil {
		return fmt.Errorf("last_seen: %w", err)
	}
	if !ind.LastSeen.IsZero() || len(a.Timestamp) == 0 {
		return nil
	}
	text := strings.Trim(string(a.Timestamp), `"`)
	if n, nerr := strconv.ParseInt(text, 10, 64); nerr == nil && n > 0 && n < 1e9/2 {
		return nil // placeholders such as "1"; no MISP is older than 1985
	}
	if ind.LastSeen, err = feed.Time(text); err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	return nil
}

// flush yields an event's indicators with the event's tags, and those outside any event.
func (w *walker) flush(ev *event) error {
	for _, e := range []*event{&w.loose, ev} {
		for _, ind := range e.out {
			all := slices.Concat(ind.Tags, e.tags)
			level, stated := confidence(ind.Tags, e.tags)
			if stated && level == 0 {
				w.rep.Skip(0, string(ind.Kind)+" "+ind.Value, feed.ErrNotStated)
				continue
			}
			ind.Confidence, ind.Tags = level, feed.Tags(all...)
			if ind.Comment == "" {
				ind.Comment = feed.Comment(e.info)
			}
			w.rep.Accepted++
			if err := w.yield(ind); err != nil {
				return yieldError{err}
			}
		}
		e.out = nil
	}
	return nil
}

// levels of the taxonomy misp:confidence-level, numeric values as in MISP/misp-taxonomies
// (there of 100); "cannot be evaluated" states nothing.
var levels = map[string]float64{
	"completely-confident": 1, "usually-confident": 0.75, "fairly-confident": 0.5, "rarely-confident": 0.25, "unconfident": 0,
}

// confidence reads the first stated level, the attribute's own before the event's.
func confidence(lists ...[]string) (level float64, stated bool) {
	for _, tags := range lists {
		for _, t := range tags {
			if v, ok := strings.CutPrefix(t, "misp:confidence-level="); ok {
				if level, stated = levels[strings.Trim(v, `"`)]; stated {
					return level, true
				}
			}
		}
	}
	return 0, false
}
