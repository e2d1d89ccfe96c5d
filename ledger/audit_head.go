// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// AuditHead gives the end of a tenant's chain without walking it; the zero Head when
// there is none yet. Note it elsewhere from time to time: VerifyAudit takes it later.
func (t *Tx) AuditHead(tenant string) (Head, error) {
	var seq uint64
	var hash []byte
	err := t.row("SELECT seq, hash FROM audit WHERE tenant = ? ORDER BY seq DESC LIMIT 1", []any{tenant}, &seq, &hash)
	if errors.Is(err, ErrNotFound) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("audit head of tenant %s: %w", tenant, err)
	}
	return Head{seq, hex.EncodeToString(hash)}, nil
}

// AuditTenants lists the tenants that have a chain.
func (t *Tx) AuditTenants() (out []string, err error) {
	err = t.rows("SELECT DISTINCT tenant FROM audit ORDER BY tenant", nil, func(r *sql.Rows) error {
		var name string
		if err := r.Scan(&name); err != nil {
			return err
		}
		out = append(out, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list audit chains: %w", err)
	}
	return out, nil
}

// String is a head as one word to write down: its number, a colon, its hash.
func (h Head) String() string { return strconv.FormatUint(h.Seq, 10) + ":" + h.Hash }

// ParseHead reads what String wrote.
func ParseHead(s string) (Head, error) {
	num, hash, ok := strings.Cut(strings.TrimSpace(s), ":")
	seq, err := strconv.ParseUint(num, 10, 64)
	if raw, bad := hex.DecodeString(hash); !ok || err != nil || bad != nil || len(raw) != 32 || seq == 0 {
		return Head{}, fmt.Errorf("audit head %q: want NUMBER:HASH with 64 hex digits, as audit verify printed it", s)
	}
	return Head{seq, strings.ToLower(hash)}, nil
}
