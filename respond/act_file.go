// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/respond/quarantine"
)

type hide struct {
	e     *Enforcer
	store *quarantine.Store
}

func (h *hide) kind() action.Kind { return action.QuarantineFile }

func (h *hide) plan(_ context.Context, o *action.Order) (plan, error) {
	f := o.Subject.GetFile()
	for _, other := range h.e.live()[action.QuarantineFile] {
		if other.Subject.GetFile().GetPath() == f.GetPath() && h.store.Vacant(f.GetPath()) {
			return plan{}, refused("%s is in quarantine already, by %s", f.GetPath(), other.ID)
		}
	}
	m, err := h.store.Look(f.GetPath(), o.ID)
	if errors.Is(err, quarantine.ErrNotPlain) {
		return plan{}, refused("%v; links, folders and devices are left alone", err)
	}
	if err != nil {
		return plan{}, err
	}
	// Content settles it where it is known; an overlay may give inodes two numbers.
	if f.GetSha256() != "" && f.GetSha256() != m.SHA256 || f.GetSha256() == "" && f.GetInode() != 0 && f.GetInode() != m.Inode {
		return plan{}, refused("%s: %v (sha256 %s)", f.GetPath(), quarantine.ErrChanged, m.SHA256)
	}
	part, err := json.Marshal(m)
	return plan{what: would("move %s (%d bytes, sha256 %s) to %s", m.Path, m.Size, m.SHA256, m.Held), target: m.Path, inverse: part}, err
}

func (h *hide) act(ctx context.Context, o *action.Order, inv *inverse) (json.RawMessage, string, error) {
	var m quarantine.Manifest
	if err := json.Unmarshal(inv.Part, &m); err != nil {
		return nil, "", fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if err := h.store.Take(&m); err != nil {
		return nil, "", err
	}
	part, err := json.Marshal(&m)
	what := fmt.Sprintf("%s moved to %s (sha256 %s)", m.Path, m.Held, m.SHA256)
	if m.Links > 1 {
		what += fmt.Sprintf("; the same file has %d other names, which were left alone", m.Links-1)
	}
	if note := h.e.host.forget(ctx, h.store, &m); note != "" {
		what += "; " + note
	}
	return part, what, err
}

func (h *hide) verify(_ context.Context, _ *action.Order, inv *inverse) error {
	var m quarantine.Manifest
	if err := json.Unmarshal(inv.Part, &m); err != nil {
		return err
	}
	return h.store.Held(&m)
}

func (h *hide) undo(_ context.Context, _ *action.Order, inv *inverse) (string, error) {
	var m quarantine.Manifest
	if err := json.Unmarshal(inv.Part, &m); err != nil {
		return "", fmt.Errorf("its manifest cannot be read: %w", err)
	}
	note, err := h.store.Restore(&m)
	if err == nil {
		h.store.Clear(h.made())
	}
	return note, err
}

// made lists every folder that was made for a quarantine the journal knows of. The first
// file's outlive it while a second lies in them; who comes last takes them away.
func (h *hide) made() (out []string) {
	for _, rec := range h.e.Records() {
		var inv inverse
		var m quarantine.Manifest
		if rec.Kind == action.QuarantineFile && json.Unmarshal(rec.Inverse, &inv) == nil && json.Unmarshal(inv.Part, &m) == nil {
			out = append(out, m.Made...)
		}
	}
	return out
}

func (h *hide) resume(live []held) error {
	if slices.ContainsFunc(live, func(x held) bool { return x.State == action.Ordered }) {
		h.e.host.wake()
	}
	return nil
}

func (h *hide) off() error {
	h.e.host.wake()
	return nil
}

func (h *hide) close() { h.store.Close() }
