// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Entry is one line of the audit chain: who did what to which thing.
type Entry struct {
	Seq    uint64    `json:"seq"` // from 1, without gaps
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"` // a user, a token, "decide", "enforcer web01"
	Verb   string    `json:"verb"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
	Hash   string    `json:"hash"` // hex
}

// Head is the end of a chain. Kept elsewhere (a log on another host, paper) it shows
// later whether the chain was cut short or made anew, which the chain alone cannot.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// link is the hash of an entry: SHA-256 over the hash before it and every field, each
// with its length before it.
func link(prev []byte, tenant string, seq uint64, atNs int64, fields ...string) []byte {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	part(prev)
	part([]byte(tenant))
	h.Write(binary.BigEndian.AppendUint64(nil, seq))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(atNs)))
	for _, f := range fields {
		part([]byte(f))
	}
	return h.Sum(nil)
}

// Audit appends e to the tenant's chain and gives its new head. Seq and Hash of e are
// not read. In the same Update as the deed, both are there or neither.
func (t *Tx) Audit(tenant string, e Entry) (Head, error) {
	if e.Actor == "" || e.Verb == "" || e.At.IsZero() {
		return Head{}, fmt.Errorf("audit %q %q: actor, verb and time are required", e.Actor, e.Verb)
	}
	var seq uint64
	prev := []byte{}
	err := t.row("SELECT seq, hash FROM audit WHERE tenant = ? ORDER BY seq DESC LIMIT 1", []any{tenant}, &seq, &prev)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Head{}, fmt.Errorf("audit: read the end of the chain: %w", err)
	}
	seq++
	hash := link(prev, tenant, seq, ns(e.At), e.Actor, e.Verb, e.Object, e.Detail)
	_, err = t.exec("INSERT INTO audit (tenant, seq, at_ns, actor, verb, object, detail, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		tenant, int64(seq), ns(e.At), e.Actor, e.Verb, e.Object, e.Detail, prev, hash)
	if err != nil {
		return Head{}, fmt.Errorf("audit: append entry %d: %w", seq, err)
	}
	return Head{seq, hex.EncodeToString(hash)}, nil
}

// AuditTail lists the newest entries, newest first.
func (t *Tx) AuditTail(tenant string, n int) (out []Entry, err error) {
	if out, err = t.audits(selectAudit+" WHERE tenant = ? ORDER BY seq DESC LIMIT ?", []any{tenant, limit(n)}); err != nil {
		return nil, fmt.Errorf("list audit entries: %w", err)
	}
	return out, nil
}

// AuditQuery chooses entries; an empty field does not narrow.
type AuditQuery struct {
	Actor, Verb  string
	Text         string // in actor, verb, object or detail
	Since, Until time.Time
	Page
}

// AuditEntries lists, the newest first unless the page asks otherwise, with the cursor of
// the next page.
func (t *Tx) AuditEntries(tenant string, q AuditQuery) (out []Entry, next string, err error) {
	f := filter{}
	f.and("tenant = ?", tenant)
	f.equal("actor", q.Actor)
	f.equal("verb", q.Verb)
	f.between("at_ns", ns(q.Since), ns(q.Until))
	f.holds(q.Text, "actor", "verb", "object", "detail")
	query, args, err := f.page(selectAudit, "seq", "actor", q.Page)
	if err == nil {
		out, err = t.audits(query, args)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list audit entries: %w", err)
	}
	out, next = cut(out, q.Page, func(e Entry) cursor {
		return cursor{json.Number(strconv.FormatUint(e.Seq, 10)), e.Actor}
	})
	return out, next, nil
}

const selectAudit = "SELECT seq, at_ns, actor, verb, object, detail, hash FROM audit"

func (t *Tx) audits(query string, args []any) (out []Entry, err error) {
	err = t.rows(query, args, func(r *sql.Rows) error {
		var e Entry
		var when int64
		var hash []byte
		if err := r.Scan(&e.Seq, &when, &e.Actor, &e.Verb, &e.Object, &e.Detail, &hash); err != nil {
			return err
		}
		e.At, e.Hash = at(when), hex.EncodeToString(hash)
		out = append(out, e)
		return nil
	})
	return out, err
}

// VerifyAudit walks the chain from its first entry and gives its head. The first entry
// that is changed, missing or out of place is named in an ErrBroken. known, when not
// zero, is a head noted earlier that the chain must still hold.
func (t *Tx) VerifyAudit(tenant string, known Head) (Head, error) {
	var head Head
	prev := []byte{}
	err := t.rows("SELECT seq, at_ns, actor, verb, object, detail, prev, hash FROM audit WHERE tenant = ? ORDER BY seq", []any{tenant}, func(r *sql.Rows) error {
		var seq uint64
		var when int64
		var actor, verb, object, detail string
		var before, hash []byte
		if err := r.Scan(&seq, &when, &actor, &verb, &object, &detail, &before, &hash); err != nil {
			return err
		}
		switch {
		case seq != head.Seq+1:
			return fmt.Errorf("%w: entry %d is missing; %d follows %d", ErrBroken, head.Seq+1, seq, head.Seq)
		case !bytes.Equal(before, prev):
			return fmt.Errorf("%w: entry %d does not follow entry %d", ErrBroken, seq, head.Seq)
		case !bytes.Equal(hash, link(prev, tenant, seq, when, actor, verb, object, detail)):
			return fmt.Errorf("%w: entry %d was changed", ErrBroken, seq)
		}
		prev = hash
		head = Head{seq, hex.EncodeToString(hash)}
		if seq == known.Seq && head != known {
			return fmt.Errorf("%w: entry %d is not the one noted earlier; the chain was made anew", ErrBroken, seq)
		}
		return nil
	})
	if err == nil && head.Seq < known.Seq {
		err = fmt.Errorf("%w: it ends at entry %d, and %d was noted earlier; its end was cut off", ErrBroken, head.Seq, known.Seq)
	}
	if err != nil {
		return head, fmt.Errorf("verify audit chain of tenant %s: %w", tenant, err)
	}
	return head, nil
}
