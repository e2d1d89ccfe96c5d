// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
)

// Program is one life of a pid, as the archive tells it.
type Program struct {
	ID        string    `json:"id" doc:"PID-START: one life among all of its host"`
	PID       uint32    `json:"pid"`
	StartNs   uint64    `json:"start_ns" doc:"Start, ns since boot"`
	Parent    string    `json:"parent,omitempty" doc:"Id of who started it"`
	Comm      string    `json:"comm,omitempty"`
	Exe       string    `json:"exe,omitempty"`
	Argv      []string  `json:"argv" doc:"Secrets stand there as keyed hashes"`
	Cwd       string    `json:"cwd,omitempty"`
	UID       uint32    `json:"uid"`
	TTY       string    `json:"tty,omitempty" doc:"Terminal it had"`
	Container string    `json:"container,omitempty"`
	Started   time.Time `json:"started" doc:"First told of"`
	Ended     time.Time `json:"ended,omitzero"`
	ExitCode  *int32    `json:"exit_code,omitempty"`
	Depth     int       `json:"depth" doc:"In a tree, from 0"`
	Asked     bool      `json:"asked,omitempty" doc:"It is the one that was asked for"`
}

func programOf(l brain.Life) Program {
	p := Program{
		ID: l.ID(), PID: l.PID, StartNs: l.StartNs, Parent: l.Parent, Comm: l.Comm, Exe: l.Exe, Argv: some(l.Argv), Cwd: l.Cwd, UID: l.UID, TTY: l.TTY, Container: l.Container,
		Started: l.Started, Ended: l.Ended, Depth: l.Depth, Asked: l.Asked,
	}
	if l.Told {
		p.ExitCode = &l.ExitCode
	}
	return p
}

// ProcessTree is a process, who brought it about, and what came of it.
type ProcessTree struct {
	Items []Program `json:"items" doc:"Parents before their children, in the order of their start"`
	Cut   bool      `json:"cut" doc:"There is more than is listed: the answer is bounded"`
}

func (s *Server) processOps(tag string) {
	type list struct {
		HostIn
		After string    `query:"after" maxLength:"128" doc:"The next of the page before"`
		Limit int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		Text  string    `query:"q" maxLength:"256" doc:"In program or arguments"`
		Since time.Time `query:"since" doc:"Started then, and until as well"`
		Until time.Time `query:"until"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/hosts/{host}/processes", id: "listProcesses", tag: tag, need: access.Read, summary: "List what was started on a host, the newest first",
		text: "Read from the archive; needs the engine of hunts."},
		func(ctx context.Context, in *list) (*body[Page[Program]], error) {
			found, next, err := s.back.Programs(ctx, in.tenant(), in.Host, brain.ProcessQuery{Text: in.Text, Since: in.Since, Until: in.Until, Before: in.After, Limit: in.Limit})
			return answer(Page[Program]{each(found, programOf), next}), err
		})
	type one struct {
		HostIn
		ID string `path:"id" maxLength:"64" doc:"PID-START"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/hosts/{host}/processes/{id}", id: "getProcessTree", tag: tag, need: access.Read, summary: "Show a process with its ancestors and all that came of it",
		text: "Read from the archive; needs the engine of hunts.", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *one) (*body[ProcessTree], error) {
			lives, cut, err := s.back.ProcessTree(ctx, in.tenant(), in.Host, in.ID)
			if err != nil {
				return nil, err
			}
			return answer(ProcessTree{each(lives, programOf), cut}), nil
		})
}
