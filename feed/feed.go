// SPDX-License-Identifier: Apache-2.0

// Package feed is what every list of indicators becomes: one Indicator a claim,
// one Report a file.
//
// In go the bytes of a list that somebody else wrote (the children plain, csv, stix
// and misp read one format each); out come indicators in canonical form, in file
// order, and a report of what was taken, left out and not understood. It believes
// nothing: whether a claim is right, old or harmful is decided by intel.
//
// The worst trap: a feed that has become an error page, an empty file or half a file
// is still a file. A reader therefore ends with an error whenever it cannot vouch for
// the whole, and what it yielded before that error must be thrown away.
package feed

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind of an indicator. The zero value is unknown.
type Kind string

// The kinds, with the canonical form of their values.
const (
	IP          Kind = "ip"          // 192.0.2.1, 2001:db8::1; never IPv4-mapped, never a zone
	Prefix      Kind = "prefix"      // 192.0.2.0/24; host bits zero; never /32 or /128
	Domain      Kind = "domain"      // lower-case A-labels, no final dot, two labels or more
	URL         Kind = "url"         // scheme://host[:port]/path[?query]; no user, no fragment
	Hash        Kind = "hash"        // lower-case hex; its length says md5 (32), sha1 (40), sha256 (64)
	Fingerprint Kind = "fingerprint" // method:value, as in ja3:<md5>, ja4:t13d1516h2_8daaf6152771_b0da82dd1658
)

// Kinds lists every kind.
var Kinds = []Kind{IP, Prefix, Domain, URL, Hash, Fingerprint}

// Known reports whether k is one of Kinds.
func (k Kind) Known() bool { return slices.Contains(Kinds, k) }

// Indicator is one claim of one source.
type Indicator struct {
	Kind  Kind
	Value string // canonical
	Tags  []string

	// Confidence that the source itself states, in (0,1]; 0 when it states none.
	Confidence float64

	// Zero when the source does not say.
	FirstSeen, LastSeen, Expires time.Time

	Source  string // name of the feed
	Comment string // free text of the source, at most maxComment bytes
}

// Yield receives each indicator. An error ends the reading and is returned by it.
type Yield func(Indicator) error

// Errors that say why a whole file was refused.
var (
	ErrEmpty     = errors.New("the file is empty; keep the last good one and ask the source")
	ErrPage      = errors.New("an HTML or XML page, not a list; the address may have moved or want a key")
	ErrPacked    = errors.New("a packed file; unpack it first")
	ErrEncoding  = errors.New("UTF-16 text; save it as UTF-8")
	ErrNone      = errors.New("no indicator in the whole file; is the format right?")
	ErrTooLarge  = fmt.Errorf("one record is larger than %d bytes", MaxItem)
	ErrTooDeep   = fmt.Errorf("nested deeper than %d levels", maxDepth)
	ErrTooMany   = fmt.Errorf("more than %d records that must be held at once; split the file", MaxHeld)
	ErrLongLine  = fmt.Errorf("longer than %d bytes", MaxLine)
	ErrNotStated = errors.New("the source states confidence 0")
)

// Bounds on what outside bytes may make us hold. None is reached by a list in
// data/intel; a record beyond them is refused, not cut.
const (
	MaxLine = 16 << 10 // bytes of one line
	MaxItem = 4 << 20  // bytes of one JSON object
	MaxHeld = 2 << 20  // records one file may make a reader remember

	maxDepth   = 256
	maxErrors  = 32
	maxReasons = 64
	maxTags    = 32
	maxTag     = 128
	maxComment = 256
	maxQuote   = 80
)

// LineError is one record that could not be used, and why.
type LineError struct {
	Feed string
	Line int    // from 1; 0 in formats without lines
	Item string // what else finds the record: `object 3 indicator--…`
	Err  error
}

// Error is a sentence: read feed "urlhaus": line 812: "10.0.0.300" is not an address; line skipped.
func (e LineError) Error() string { return fmt.Sprintf("read feed %q: %s", e.Feed, e.text()) }

func (e LineError) text() string {
	where, what := e.Item, "record"
	if e.Line > 0 {
		where, what = "line "+strconv.Itoa(e.Line), "line"
		if e.Item != "" {
			where += " (" + e.Item + ")"
		}
	}
	return fmt.Sprintf("%s: %v; %s skipped", where, e.Err, what)
}

// Unwrap gives the cause.
func (e LineError) Unwrap() error { return e.Err }

// Report counts what a reader met. Read = records used + Skipped + Malformed; one
// record may give several indicators, so Accepted is not the difference.
type Report struct {
	Feed      string
	Read      int            // records: lines that are not blank or comment, objects, attributes
	Accepted  int            // indicators yielded
	Skipped   int            // records understood and left out
	Malformed int            // records not understood
	Reasons   map[string]int // of Skipped, how many for which reason
	Notes     []LineError    // the first of Skipped
	Errors    []LineError    // the first of Malformed
}

// Skip counts a record that was understood and left out, for a reason.
func (r *Report) Skip(line int, item string, reason error) {
	r.Skipped++
	if r.Reasons == nil {
		r.Reasons = make(map[string]int)
	}
	root := reason // the kind of reason; what wraps it names the record
	for inner := errors.Unwrap(root); inner != nil; inner = errors.Unwrap(root) {
		root = inner
	}
	text := root.Error()
	if _, known := r.Reasons[text]; known || len(r.Reasons) < maxReasons {
		r.Reasons[text]++
	} else {
		r.Reasons["other"]++
	}
	if len(r.Notes) < maxErrors {
		r.Notes = append(r.Notes, LineError{r.Feed, line, item, reason})
	}
}

// Fail counts a record that was not understood.
func (r *Report) Fail(line int, item string, cause error) {
	r.Malformed++
	if len(r.Errors) < maxErrors {
		r.Errors = append(r.Errors, LineError{r.Feed, line, item, cause})
	}
}

// Wrap says of which feed a whole-file error is. Nil stays nil.
func (r *Report) Wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read feed %q: %w", r.Feed, err)
}

// Close is the last word of a reader: a list without a single indicator is an error.
func (r *Report) Close() error {
	switch {
	case r.Read == 0:
		return r.Wrap(ErrNone)
	case r.Accepted > 0:
		return nil
	case len(r.Errors) > 0:
		return r.Wrap(fmt.Errorf("%w (first of %d: %s)", ErrNone, r.Malformed, r.Errors[0].text()))
	case len(r.Notes) > 0:
		return r.Wrap(fmt.Errorf("%w (first of %d: %s)", ErrNone, r.Skipped, r.Notes[0].text()))
	}
	return r.Wrap(ErrNone)
}

// Tags cleans tags: control characters out, trimmed, cut at maxTag bytes, sorted, no
// doubles, at most maxTags.
func Tags(tags ...string) []string {
	var out []string
	for _, t := range tags {
		if t = clean(t, maxTag); t != "" && len(out) < maxTags {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Comment cleans free text and cuts it at maxComment bytes.
func Comment(s string) string { return clean(s, maxComment) }

func clean(s string, limit int) string {
	s = cut(s, limit)
	ok := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }) < 0
	if !ok {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == utf8.RuneError {
				return ' '
			}
			return r
		}, s)
	}
	return strings.TrimSpace(s)
}

// cut shortens s to at most limit bytes without splitting a rune.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// Quote is outside text, quoted and cut, for an error message.
func Quote(s string) string {
	if len(s) > maxQuote {
		return strconv.Quote(cut(s, maxQuote)) + "…"
	}
	return strconv.Quote(s)
}
