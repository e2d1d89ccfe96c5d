// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/ledger"
)

// AuditEntry is one link of the audit chain.
type AuditEntry struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`
	Verb   string    `json:"verb"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
	Hash   string    `json:"hash" doc:"SHA-256 over the link before and this one, hex"`
}

func auditOf(e ledger.Entry) AuditEntry {
	return AuditEntry{Seq: e.Seq, Time: e.At.UTC(), Actor: e.Actor, Verb: e.Verb, Object: e.Object, Detail: e.Detail, Hash: e.Hash}
}

// AuditCheck is what a walk over the whole chain found.
type AuditCheck struct {
	Whole bool   `json:"whole"`
	Seq   uint64 `json:"seq" doc:"Entries that hold, which is the number of the last of them"`
	Hash  string `json:"hash" doc:"Of the last that holds. Kept elsewhere, it shows later whether the chain was cut short or made anew"`
	Fault string `json:"fault,omitempty" doc:"The first link that does not hold"`
}

func (s *Server) auditOps() {
	const tag = "Audit"
	type list struct {
		ListIn
		Actor string    `query:"actor" maxLength:"256"`
		Verb  string    `query:"verb" maxLength:"64"`
		Text  string    `query:"q" maxLength:"256" doc:"In actor, verb, object or detail"`
		Since time.Time `query:"since"`
		Until time.Time `query:"until"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/audit", id: "listAudit", tag: tag, need: access.Administer, summary: "List the entries of the audit chain, the newest first"},
		func(ctx context.Context, in *list) (*body[Page[AuditEntry]], error) {
			found, next, err := s.back.Audit(ctx, in.tenant(), ledger.AuditQuery{Actor: in.Actor, Verb: in.Verb, Text: in.Text, Since: in.Since, Until: in.Until, Page: in.page()})
			return answer(Page[AuditEntry]{each(found, auditOf), next}), err
		})
	type known struct {
		In
		Seq  uint64 `query:"seq" doc:"Of a head noted earlier, which the chain must still hold"`
		Hash string `query:"hash" maxLength:"64" doc:"Of that head"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/audit/check", id: "checkAudit", tag: tag, need: access.Administer, summary: "Walk the whole audit chain and tell whether every link holds"},
		func(ctx context.Context, in *known) (*body[AuditCheck], error) {
			head, err := s.back.VerifyAudit(ctx, in.tenant(), ledger.Head{Seq: in.Seq, Hash: in.Hash})
			out := AuditCheck{Whole: err == nil, Seq: head.Seq, Hash: head.Hash}
			if errors.Is(err, ledger.ErrBroken) {
				out.Fault, err = err.Error(), nil
			}
			return answer(out), err
		})
}
