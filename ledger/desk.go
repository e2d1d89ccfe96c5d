// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Desk is what people say of an incident; what the judge says of it stands beside, in
// the incident, and neither overwrites the other.
type Desk struct {
	Status   string // one of Statuses
	Assignee string // name of a user; empty: nobody's
	Version  int64  // rises with every change; 0: nobody touched it yet
	At       time.Time
}

// Statuses of an incident on the desk, the first for those that nobody touched.
var Statuses = []string{"new", "working", "solved", "ordinary"}

// ErrChanged is wrapped where somebody else changed the thing meanwhile.
var ErrChanged = errors.New("changed meanwhile")

// SetDesk changes what people say of an incident. Of is the version that the change
// rests on; when somebody was faster it is ErrChanged.
func (t *Tx) SetDesk(tenant, incident string, of int64, d Desk) error {
	if !slices.Contains(Statuses, d.Status) {
		return fmt.Errorf("set desk of %s: status %q is none of %v", incident, d.Status, Statuses)
	}
	old, err := t.desk(tenant, incident)
	if err == nil && old.Version != of {
		err = fmt.Errorf("%w: it is at version %d, not %d", ErrChanged, old.Version, of)
	}
	if err == nil {
		_, err = t.exec(`INSERT INTO incident_desk (tenant, id, status, assignee, version, at_ns) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, assignee = excluded.assignee, version = excluded.version, at_ns = excluded.at_ns`,
			tenant, incident, d.Status, d.Assignee, of+1, ns(d.At))
	}
	if err != nil {
		return fmt.Errorf("set desk of %s: %w", incident, err)
	}
	return nil
}

func (t *Tx) desk(tenant, incident string) (d Desk, err error) {
	var when int64
	err = t.row("SELECT status, assignee, version, at_ns FROM incident_desk WHERE tenant = ? AND id = ?", []any{tenant, incident}, &d.Status, &d.Assignee, &d.Version, &when)
	if errors.Is(err, ErrNotFound) {
		return Desk{Status: Statuses[0]}, nil
	}
	d.At = at(when)
	return d, err
}

// Note is what somebody wrote beside an incident.
type Note struct {
	ID       string    `json:"id"`
	Incident string    `json:"incident"`
	At       time.Time `json:"at"`
	Author   string    `json:"author"`
	Text     string    `json:"text"`
}

// AddNote keeps one; notes are not edited.
func (t *Tx) AddNote(tenant string, n Note) error {
	_, err := t.exec("INSERT INTO notes (tenant, id, incident, at_ns, author, text) VALUES (?, ?, ?, ?, ?, ?)", tenant, n.ID, n.Incident, ns(n.At), n.Author, n.Text)
	if err != nil {
		return fmt.Errorf("add note to %s: %w", n.Incident, err)
	}
	return nil
}

// Notes lists those of an incident and of what was merged into it, oldest first.
func (t *Tx) Notes(tenant, incident string) (out []Note, err error) {
	err = t.rows(`SELECT id, incident, at_ns, author, text FROM notes WHERE tenant = ? AND (incident = ? OR incident IN
		(SELECT alias FROM incident_aliases WHERE tenant = ? AND id = ?)) ORDER BY at_ns, id`, []any{tenant, incident, tenant, incident}, func(r *sql.Rows) error {
		var n Note
		var when int64
		err := r.Scan(&n.ID, &n.Incident, &when, &n.Author, &n.Text)
		n.At = at(when)
		out = append(out, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("notes of %s: %w", incident, err)
	}
	return out, nil
}

// Hunt is a saved query.
type Hunt struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Query string    `json:"query"`
	Owner string    `json:"owner"`
	Made  time.Time `json:"made"`
}

// PutHunt stores or changes one.
func (t *Tx) PutHunt(tenant string, h Hunt) error {
	_, err := t.exec(`INSERT INTO hunts (tenant, id, name, query, owner, made_ns) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, query = excluded.query`, tenant, h.ID, h.Name, h.Query, h.Owner, ns(h.Made))
	if err != nil {
		return fmt.Errorf("save hunt %q: %w", h.Name, err)
	}
	return nil
}

// DropHunt forgets one.
func (t *Tx) DropHunt(tenant, id string) error {
	return t.one("drop hunt "+id, "DELETE FROM hunts WHERE tenant = ? AND id = ?", tenant, id)
}

// Hunts lists the saved ones by name.
func (t *Tx) Hunts(tenant string) (out []Hunt, err error) {
	err = t.rows("SELECT id, name, query, owner, made_ns FROM hunts WHERE tenant = ? ORDER BY name, id", []any{tenant}, func(r *sql.Rows) error {
		var h Hunt
		var when int64
		err := r.Scan(&h.ID, &h.Name, &h.Query, &h.Owner, &when)
		h.Made = at(when)
		out = append(out, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list hunts: %w", err)
	}
	return out, nil
}

// PutPicture keeps the attack graph of an incident in the place of the one before; the
// ledger does not read it.
func (t *Tx) PutPicture(tenant, incident string, now time.Time, body []byte) error {
	_, err := t.exec(`INSERT INTO incident_pictures (tenant, id, at_ns, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (tenant, id) DO UPDATE SET at_ns = excluded.at_ns, body = excluded.body`, tenant, incident, ns(now), body)
	if err != nil {
		return fmt.Errorf("keep the picture of %s: %w", incident, err)
	}
	return nil
}

// Picture gives the kept attack graph of an incident.
func (t *Tx) Picture(tenant, incident string) (body []byte, err error) {
	if err := t.row("SELECT body FROM incident_pictures WHERE tenant = ? AND id = ?", []any{tenant, incident}, &body); err != nil {
		return nil, fmt.Errorf("picture of %s: %w", incident, err)
	}
	return body, nil
}
