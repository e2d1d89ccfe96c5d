// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/event"
)

// What the brain itself asks of the archive, in the same SQL and under the same bounds as
// hunts: the questions choose, and what they choose is read from the events.

// askMost bounds the rows of one question, askTime its time.
const (
	askMost = 10_000
	askTime = 20 * time.Second
)

// quoted is text as a literal of SQL.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ask runs one question; cut tells that there was more than askMost.
func (b *Brain) ask(ctx context.Context, tenant, sql string, row func([]any) error) (cut bool, err error) {
	if b.workers[tenant] == nil {
		return false, fmt.Errorf("tenant %q: %w", tenant, ErrNotFound)
	}
	if b.opt.Hunter == nil {
		return false, errNotHere
	}
	if err := b.store.Flush(); err != nil {
		return false, err
	}
	a, err := b.opt.Hunter.Hunt(ctx, tenant, sql, archive.Limits{Rows: askMost, Time: askTime, Raw: true}, row)
	if err != nil {
		return false, err
	}
	return a.Truncated, nil
}

// events are those of a question that selects the column event first.
func (b *Brain) events(ctx context.Context, tenant, sql string) (out []*event.Event, cut bool, err error) {
	cut, err = b.ask(ctx, tenant, sql, func(row []any) error {
		blob, err := base64.StdEncoding.DecodeString(textOf(row[0]))
		if err != nil {
			return fmt.Errorf("event of the archive: %w", err)
		}
		ev := &event.Event{}
		if err := ev.UnmarshalVT(blob); err != nil {
			return fmt.Errorf("event of the archive: %w", err)
		}
		out = append(out, ev)
		return nil
	})
	return out, cut, err
}

// The values of a row are what JSON has for them.

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

func numberOf(v any) int64 {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Int64()
		return n
	case int64:
		return v
	case float64:
		return int64(v)
	}
	return 0
}

func truthOf(v any) bool {
	t, _ := v.(bool)
	return t
}

func textsOf(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, textOf(x))
	}
	return out
}

// wallOf is a time in ns since 1970; 0 is none.
func wallOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
