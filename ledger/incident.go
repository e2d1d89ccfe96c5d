// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// PutIncident stores inc as it now is, why and when it changed in its history, and its
// merged ids as aliases: from then on they mean inc. Putting the same again changes nothing.
func (t *Tx) PutIncident(inc *verdict.Incident, why string, now time.Time) error {
	if inc.GetId() == "" || inc.GetTenant() == "" {
		return errors.New("put incident: no id or no tenant")
	}
	if err := t.putIncident(inc, why, now); err != nil {
		return fmt.Errorf("put incident %s: %w", inc.Id, err)
	}
	return nil
}

func (t *Tx) putIncident(inc *verdict.Incident, why string, now time.Time) error {
	body, err := inc.MarshalVT()
	if err != nil {
		return err
	}
	var version int64
	var old []byte
	err = t.row("SELECT version, body FROM incidents WHERE tenant = ? AND id = ?", []any{inc.Tenant, inc.Id}, &version, &old)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if bytes.Equal(old, body) {
		return nil
	}
	if version == 0 { // it may have been merged away and come back: its history goes on
		if err := t.row("SELECT COALESCE(MAX(version), 0) FROM incident_history WHERE tenant = ? AND id = ?", []any{inc.Tenant, inc.Id}, &version); err != nil {
			return err
		}
	}
	version++
	_, err = t.exec(`INSERT INTO incidents (tenant, id, state, title, score, opened_ns, updated_ns, version, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, title = excluded.title, score = excluded.score,
		opened_ns = excluded.opened_ns, updated_ns = excluded.updated_ns, version = excluded.version, body = excluded.body`,
		inc.Tenant, inc.Id, inc.State, inc.Title, inc.Score, inc.OpenedNs, inc.UpdatedNs, version, body)
	if err != nil {
		return err
	}
	if _, err = t.exec("INSERT INTO incident_history (tenant, id, version, at_ns, why, body) VALUES (?, ?, ?, ?, ?, ?)",
		inc.Tenant, inc.Id, version, ns(now), why, body); err != nil {
		return err
	}
	if err := t.mergeInto(inc); err != nil {
		return err
	}
	for _, f := range inc.Findings {
		if _, err := t.exec("INSERT INTO incident_findings (tenant, finding, id) VALUES (?, ?, ?) ON CONFLICT (tenant, finding) DO UPDATE SET id = excluded.id", inc.Tenant, f, inc.Id); err != nil {
			return err
		}
	}
	for _, h := range inc.Hosts {
		if _, err := t.exec("INSERT INTO incident_hosts (tenant, host, id) VALUES (?, ?, ?) ON CONFLICT (tenant, host, id) DO NOTHING", inc.Tenant, h, inc.Id); err != nil {
			return err
		}
	}
	return nil
}

// mergeInto makes inc's aliases, and what was merged into those before, mean inc. The
// history of a merged incident stays under its own id.
func (t *Tx) mergeInto(inc *verdict.Incident) error {
	for _, alias := range inc.Aliases {
		if alias == inc.Id {
			continue
		}
		for _, q := range []string{
			"UPDATE incident_aliases SET id = ? WHERE tenant = ? AND id = ?",
			"UPDATE incident_findings SET id = ? WHERE tenant = ? AND id = ?",
			"UPDATE actions SET incident = ? WHERE tenant = ? AND incident = ?",
		} {
			if _, err := t.exec(q, inc.Id, inc.Tenant, alias); err != nil {
				return err
			}
		}
		for _, q := range []string{
			"DELETE FROM incidents WHERE tenant = ? AND id = ?",
			"DELETE FROM incident_hosts WHERE tenant = ? AND id = ?",
		} {
			if _, err := t.exec(q, inc.Tenant, alias); err != nil {
				return err
			}
		}
		if _, err := t.exec("INSERT INTO incident_aliases (tenant, alias, id) VALUES (?, ?, ?) ON CONFLICT (tenant, alias) DO UPDATE SET id = excluded.id", inc.Tenant, alias, inc.Id); err != nil {
			return err
		}
	}
	_, err := t.exec("DELETE FROM incident_aliases WHERE tenant = ? AND alias = ?", inc.Tenant, inc.Id)
	return err
}

// IncidentOf gives the id of the incident that a finding belongs to.
func (t *Tx) IncidentOf(tenant, finding string) (id string, err error) {
	if err := t.row("SELECT id FROM incident_findings WHERE tenant = ? AND finding = ?", []any{tenant, finding}, &id); err != nil {
		return "", fmt.Errorf("incident of finding %s: %w", finding, err)
	}
	return id, nil
}

func decodeIncident(body []byte) (*verdict.Incident, error) {
	inc := &verdict.Incident{}
	if err := inc.UnmarshalVT(body); err != nil {
		return nil, fmt.Errorf("decode incident: %w", err)
	}
	return inc, nil
}

// IncidentQuery chooses incidents; an empty field does not narrow.
type IncidentQuery struct {
	State, Status, Host, Assignee string
	Text                          string // in title or id
	Score                         float64
	Since, Until                  time.Time // changed then
	Sort                          IncidentSort
	Page
}

// IncidentSort is the column that a list of incidents goes by.
type IncidentSort string

// The columns; the zero value is ByUpdate.
const (
	ByUpdate  IncidentSort = ""
	ByOpening IncidentSort = "opened"
	ByScore   IncidentSort = "score"
)

// ListedIncident is an incident with what people say of it.
type ListedIncident struct {
	*verdict.Incident
	Desk Desk
}

const selectIncidents = `SELECT i.body, COALESCE(d.status, 'new'), COALESCE(d.assignee, ''), COALESCE(d.version, 0), COALESCE(d.at_ns, 0)
	FROM incidents i LEFT JOIN incident_desk d ON d.tenant = i.tenant AND d.id = i.id`

// Incidents lists, the newest change first unless the query asks otherwise, with the
// cursor of the next page.
func (t *Tx) Incidents(tenant string, q IncidentQuery) (out []ListedIncident, next string, err error) {
	f := filter{}
	f.and("i.tenant = ?", tenant)
	f.equal("i.state", q.State)
	f.equal("COALESCE(d.status, 'new')", q.Status)
	f.equal("d.assignee", q.Assignee)
	if q.Host != "" {
		f.and("EXISTS (SELECT 1 FROM incident_hosts h WHERE h.tenant = i.tenant AND h.id = i.id AND h.host = ?)", q.Host)
	}
	if q.Score > 0 {
		f.and("i.score >= ?", q.Score)
	}
	f.between("i.updated_ns", ns(q.Since), ns(q.Until))
	f.holds(q.Text, "i.title", "i.id")
	column, key := "i.updated_ns", func(i ListedIncident) string { return strconv.FormatInt(i.UpdatedNs, 10) }
	switch q.Sort {
	case ByOpening:
		column, key = "i.opened_ns", func(i ListedIncident) string { return strconv.FormatInt(i.OpenedNs, 10) }
	case ByScore:
		column, key = "i.score", func(i ListedIncident) string { return strconv.FormatFloat(i.Score, 'g', -1, 64) }
	}
	query, args, err := f.page(selectIncidents, column, "i.id", q.Page)
	if err == nil {
		out, err = t.incidents(query, args)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list incidents: %w", err)
	}
	out, next = cut(out, q.Page, func(i ListedIncident) cursor { return cursor{json.Number(key(i)), i.Id} })
	return out, next, nil
}

// OnDesk gives one incident, by its id or by that of one merged into it, with what
// people say of it.
func (t *Tx) OnDesk(tenant, id string) (ListedIncident, error) {
	inc, err := only(t.incidents(selectIncidents+` WHERE i.tenant = ? AND i.id = COALESCE((SELECT id FROM incident_aliases WHERE tenant = ? AND alias = ?), ?)`, []any{tenant, tenant, id, id}))
	if err != nil {
		return inc, fmt.Errorf("incident %s: %w", id, err)
	}
	return inc, nil
}

func (t *Tx) incidents(query string, args []any) (out []ListedIncident, err error) {
	err = t.rows(query, args, func(r *sql.Rows) error {
		var body []byte
		var x ListedIncident
		var when int64
		err := r.Scan(&body, &x.Desk.Status, &x.Desk.Assignee, &x.Desk.Version, &when)
		if err == nil {
			x.Desk.At = at(when)
			x.Incident, err = decodeIncident(body)
		}
		out = append(out, x)
		return err
	})
	return out, err
}

// Change is one entry of an incident's history.
type Change struct {
	Version  int64             `json:"version"`
	At       time.Time         `json:"at"`
	Why      string            `json:"why"`
	Incident *verdict.Incident `json:"incident"` // as it was after the change
}

// History gives the changes of an incident under that very id, oldest first.
func (t *Tx) History(tenant, id string) (out []Change, err error) {
	err = t.rows("SELECT version, at_ns, why, body FROM incident_history WHERE tenant = ? AND id = ? ORDER BY version", []any{tenant, id}, func(r *sql.Rows) error {
		var c Change
		var when int64
		var body []byte
		if err := r.Scan(&c.Version, &when, &c.Why, &body); err != nil {
			return err
		}
		c.At = at(when)
		if c.Incident, err = decodeIncident(body); err != nil {
			return err
		}
		out = append(out, c)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("history of incident %s: %w", id, err)
	}
	return out, nil
}
