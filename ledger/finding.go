// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ringwall/ringwall/verdict"
)

// PutFinding makes a finding one that lists show. Putting it again changes nothing: the
// archive keeps it, this is its index.
func (t *Tx) PutFinding(tenant string, f *verdict.Finding) error {
	if f.GetId() == "" || tenant == "" {
		return errors.New("put finding: no id or no tenant")
	}
	body, err := f.MarshalVT()
	if err != nil {
		return fmt.Errorf("put finding %s: %w", f.Id, err)
	}
	black := 0
	if f.Black() {
		black = 1
	}
	_, err = t.exec(`INSERT INTO findings (tenant, id, at_ns, host, layer, stage, rule, title, black, score, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, id) DO NOTHING`,
		tenant, f.Id, f.WallNs, f.Host, f.Layer, f.Stage, f.Rule, f.Title, black, f.Score, body)
	if err != nil {
		return fmt.Errorf("put finding %s: %w", f.Id, err)
	}
	return nil
}

// DropFindings forgets those of before that time and says how many.
func (t *Tx) DropFindings(tenant string, before time.Time) (int64, error) {
	res, err := t.exec("DELETE FROM findings WHERE tenant = ? AND at_ns < ?", tenant, ns(before))
	if err != nil {
		return 0, fmt.Errorf("drop old findings: %w", err)
	}
	return res.RowsAffected()
}

// FindingQuery chooses findings; an empty field does not narrow. Without Grey only
// those above grey are listed.
type FindingQuery struct {
	Grey                               bool
	Host, Layer, Stage, Rule, Incident string
	Text                               string // in title, rule or id
	Since, Until                       time.Time
	Page
}

// ListedFinding is a finding with the incident it belongs to.
type ListedFinding struct {
	*verdict.Finding
	Incident string // empty: none
}

const selectFindings = `SELECT f.at_ns, f.body, COALESCE(i.id, '') FROM findings f LEFT JOIN incident_findings i ON i.tenant = f.tenant AND i.finding = f.id`

// Findings lists by the time of the deed, the newest first unless the page asks
// otherwise, with the cursor of the next page.
func (t *Tx) Findings(tenant string, q FindingQuery) (out []ListedFinding, next string, err error) {
	f := filter{}
	f.and("f.tenant = ?", tenant)
	if !q.Grey {
		f.and("f.black = 1")
	}
	f.equal("f.host", q.Host)
	f.equal("f.layer", q.Layer)
	f.equal("f.stage", q.Stage)
	f.equal("f.rule", q.Rule)
	if q.Incident != "" {
		f.and("i.id = COALESCE((SELECT a.id FROM incident_aliases a WHERE a.tenant = ? AND a.alias = ?), ?)", tenant, q.Incident, q.Incident)
	}
	f.between("f.at_ns", ns(q.Since), ns(q.Until))
	f.holds(q.Text, "f.title", "f.rule", "f.id")
	query, args, err := f.page(selectFindings, "f.at_ns", "f.id", q.Page)
	if err != nil {
		return nil, "", fmt.Errorf("list findings: %w", err)
	}
	if out, err = t.findings(query, args); err != nil {
		return nil, "", fmt.Errorf("list findings: %w", err)
	}
	out, next = cut(out, q.Page, func(f ListedFinding) cursor {
		return cursor{json.Number(strconv.FormatInt(f.WallNs, 10)), f.Id}
	})
	return out, next, nil
}

// Finding gives one by its id.
func (t *Tx) Finding(tenant, id string) (ListedFinding, error) {
	f, err := only(t.findings(selectFindings+" WHERE f.tenant = ? AND f.id = ?", []any{tenant, id}))
	if err != nil {
		return f, fmt.Errorf("finding %s: %w", id, err)
	}
	return f, nil
}

func (t *Tx) findings(query string, args []any) (out []ListedFinding, err error) {
	err = t.rows(query, args, func(r *sql.Rows) error {
		var at int64
		var body []byte
		x := ListedFinding{Finding: &verdict.Finding{}}
		if err := r.Scan(&at, &body, &x.Incident); err != nil {
			return err
		}
		if err := x.UnmarshalVT(body); err != nil {
			return fmt.Errorf("decode finding: %w", err)
		}
		out = append(out, x)
		return nil
	})
	return out, err
}
