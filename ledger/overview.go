// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// Burst is how many findings above grey a layer told within one step of time.
type Burst struct {
	At    time.Time // where the step begins
	Layer string
	Count int
}

// stepsMost bounds the steps of one question.
const stepsMost = 1000

// Activity counts findings above grey by layer and step, from since on to before until;
// steps in which a layer told nothing are left out. An index answers it without reading a
// finding.
func (t *Tx) Activity(tenant string, layers []string, since, until time.Time, step time.Duration) (out []Burst, err error) {
	if step <= 0 || !until.After(since) || until.Sub(since)/step > stepsMost {
		return nil, errors.New("activity: want a span that has at most 1000 steps")
	}
	for _, layer := range layers {
		err := t.rows(`SELECT (at_ns - ?) / ?, COUNT(*) FROM findings WHERE tenant = ? AND layer = ? AND black = 1 AND at_ns >= ? AND at_ns < ? GROUP BY 1 ORDER BY 1`,
			[]any{ns(since), int64(step), tenant, layer, ns(since), ns(until)}, func(r *sql.Rows) error {
				var place int64
				b := Burst{Layer: layer}
				if err := r.Scan(&place, &b.Count); err != nil {
					return err
				}
				b.At = since.Add(time.Duration(place) * step)
				out = append(out, b)
				return nil
			})
		if err != nil {
			return nil, fmt.Errorf("activity: %w", err)
		}
	}
	return out, nil
}

// Tally is how many incidents stand alike.
type Tally struct {
	State, Status, Severity string
	Count                   int
}

// Tally counts the incidents that are not done with: neither closed by the judge nor
// solved or called ordinary by people.
func (t *Tx) Tally(tenant string) (out []Tally, err error) {
	at := map[Tally]int{}
	err = t.rows(`SELECT i.score, i.state, COALESCE(d.status, 'new') FROM incidents i LEFT JOIN incident_desk d ON d.tenant = i.tenant AND d.id = i.id
		WHERE i.tenant = ? AND i.state <> 'closed' AND COALESCE(d.status, 'new') IN ('new', 'working')`, []any{tenant}, func(r *sql.Rows) error {
		var score float64
		var k Tally
		if err := r.Scan(&score, &k.State, &k.Status); err != nil {
			return err
		}
		k.Severity = verdict.Severity(score)
		if _, known := at[k]; !known {
			at[k] = len(out)
			out = append(out, k)
		}
		out[at[k]].Count++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tally incidents: %w", err)
	}
	return out, nil
}

// OpenByHost counts, for each host, the incidents that Tally counts.
func (t *Tx) OpenByHost(tenant string) (map[string]int, error) {
	out := map[string]int{}
	err := t.rows(`SELECT h.host, COUNT(*) FROM incident_hosts h JOIN incidents i ON i.tenant = h.tenant AND i.id = h.id LEFT JOIN incident_desk d ON d.tenant = i.tenant AND d.id = i.id
		WHERE h.tenant = ? AND i.state <> 'closed' AND COALESCE(d.status, 'new') IN ('new', 'working') GROUP BY h.host`, []any{tenant}, func(r *sql.Rows) error {
		var host string
		var n int
		if err := r.Scan(&host, &n); err != nil {
			return err
		}
		out[host] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count incidents of hosts: %w", err)
	}
	return out, nil
}

// RuleHits is how often a rule spoke, and when last.
type RuleHits struct {
	Count, Black int
	Last         time.Time
}

// HitsByRule counts the listed findings of each rule.
func (t *Tx) HitsByRule(tenant string) (map[string]RuleHits, error) {
	out := map[string]RuleHits{}
	err := t.rows("SELECT rule, COUNT(*), SUM(black), MAX(at_ns) FROM findings WHERE tenant = ? GROUP BY rule", []any{tenant}, func(r *sql.Rows) error {
		var rule string
		var h RuleHits
		var last int64
		if err := r.Scan(&rule, &h.Count, &h.Black, &last); err != nil {
			return err
		}
		h.Last = at(last)
		out[rule] = h
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count hits of rules: %w", err)
	}
	return out, nil
}
