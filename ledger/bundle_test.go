// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"testing"
)

// bundles: versions only rise per tenant and group, whoever asks.
func bundles(t *testing.T, l *Ledger) {
	add := func(tenant, group string, version uint64) error {
		return l.Update(t.Context(), func(tx *Tx) error {
			return tx.AddBundle(tenant, Bundle{Group: group, Version: version, ID: "id", Content: "c", Note: "why", Created: t0})
		})
	}
	for _, c := range []struct {
		tenant, group string
		version       uint64
		want          error
	}{
		{"acme", "web", 1, nil},
		{"acme", "web", 1, ErrExists},
		{"acme", "web", 7, nil}, // a restored ledger goes on above what agents have seen
		{"acme", "web", 6, ErrExists},
		{"acme", "db", 1, nil},
		{"evil", "web", 3, nil},
	} {
		if err := add(c.tenant, c.group, c.version); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s/%s %d: %v, want %v", c.tenant, c.group, c.version, err, c.want)
		}
	}
	for _, version := range []uint64{0, 1 << 63} {
		if add("acme", "web", version) == nil {
			t.Errorf("version %d is taken", version)
		}
	}
	view(t, l, func(tx *Tx) error {
		all, err := tx.Bundles("acme", "web", 0)
		if err != nil || len(all) != 2 || all[0].Version != 7 || all[1].Version != 1 || all[0].Content != "c" || !all[0].Created.Equal(t0) {
			t.Errorf("%+v, %v", all, err)
		}
		last, err := tx.Bundles("acme", "none", 1)
		if err != nil || len(last) != 0 {
			t.Errorf("%+v, %v", last, err)
		}
		return nil
	})
}
