// SPDX-License-Identifier: Apache-2.0

package file

import (
	"fmt"
	"path/filepath"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

// Finding words a result for incidents. about is the file as the sensor saw
// it, nil if none did; its path and hash are set from the result. It returns
// nil when there is nothing to tell: white, or grey without evidence. Id and
// the events it rests on are the caller's to set, then Finding.SetID.
func (r *Result) Finding(host string, wallNS int64, about *entity.File) *verdict.Finding {
	if r.Colour == verdict.Colour_WHITE || len(r.Evidence) == 0 {
		return nil
	}
	f := &entity.File{Path: r.Path, Inode: r.ID.Inode, Size: uint64(r.Size), Mode: r.Mode, Uid: r.UID}
	if about != nil {
		f = about.CloneVT()
		f.Path = r.Path
	}
	f.Sha256 = r.SHA256
	best := r.Engines[0]
	for _, e := range r.Engines[1:] {
		if e.Score > best.Score {
			best = e
		}
	}
	out := &verdict.Finding{
		Host: host, WallNs: wallNS, Layer: "file", Stage: r.Stage, Rule: best.Name, RuleVersion: r.Rules, Colour: r.Colour, Score: r.Score,
		Title:      fmt.Sprintf("%s in %s", title(best), filepath.Base(r.Path)),
		Techniques: r.Techniques, Evidence: r.Evidence,
		Subjects: []*entity.Sighting{{Kind: entity.Kind_FILE, Host: host, WallNs: wallNS, Role: "object", File: f}},
	}
	if r.SHA256 != "" {
		out.Subjects = append(out.Subjects, &entity.Sighting{Kind: entity.Kind_CONTENT, Role: "object", Text: r.SHA256})
	}
	if r.Partial != "" {
		out.Completeness = &verdict.Completeness{Losses: []*verdict.LossWindow{{Sensor: "file", Class: "content", FromNs: wallNS, ToNs: wallNS, Reason: r.Partial}}}
	}
	return out
}

// title is what the best engine saw, without the rule's name before it.
func title(e Engine) string {
	if len(e.Evidence) == 0 {
		return e.Name
	}
	what := e.Evidence[0].What
	for i := 0; i+1 < len(what); i++ {
		if what[i] == ':' && what[i+1] == ' ' {
			return what[i+2:]
		}
	}
	return what
}
