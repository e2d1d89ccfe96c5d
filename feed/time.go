// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The forms of time met in the lists of data/intel, abuse.ch, MISP and STIX. Without
// a zone they are UTC.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04",
	"2006-01-02", "2006/01/02 15:04:05", "2006/01/02", time.RFC1123Z, time.RFC1123,
}

// Time reads a time in any of the usual forms, Unix seconds (nine or ten digits) and
// milliseconds (twelve or thirteen) among them. Empty, "0" and "none" are the zero time.
// Years outside 1990..2100 are an error.
func Time(text string) (time.Time, error) {
	s := strings.TrimSuffix(strings.TrimSpace(text), " UTC")
	switch strings.ToLower(s) {
	case "", "0", "none", "null", "never", "n/a", "-":
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		switch len(s) {
		case 9, 10:
			return sane(time.Unix(n, 0), text)
		case 12, 13:
			return sane(time.UnixMilli(n), text)
		}
	}
	if len(s) == len(time.DateOnly) { // the commonest in lists; a failed Parse is dear
		if t, err := time.Parse(time.DateOnly, s); err == nil {
			return sane(t, text)
		}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return sane(t, text)
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time; use RFC 3339", Quote(text))
}

func sane(t time.Time, text string) (time.Time, error) {
	if y := t.UTC().Year(); y < 1990 || y > 2100 {
		return time.Time{}, fmt.Errorf("%s lies in the year %d", Quote(text), y)
	}
	return t.UTC(), nil
}
