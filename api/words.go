// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// The words of the API. They are of their own, so that what travels inside may change
// without breaking who asks; a name that was ever here keeps its meaning.

// Entity is what a finding or incident names.
type Entity struct {
	Kind    string    `json:"kind" example:"process" doc:"host, process, file, flow, request, address, domain, url, content, fingerprint, user, login, container…"`
	Role    string    `json:"role,omitempty" doc:"actor, object, source, target or entry"`
	Host    string    `json:"host,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	Label   string    `json:"label" doc:"One line for people"`
	Text    string    `json:"text,omitempty" doc:"Canonical text of address, domain, url, content, fingerprint, user, container"`
	Process *Process  `json:"process,omitempty"`
	File    *File     `json:"file,omitempty"`
	Flow    *Flow     `json:"flow,omitempty"`
	Request *Request  `json:"request,omitempty"`
}

// Process is one life of a pid.
type Process struct {
	PID       uint32 `json:"pid"`
	StartNs   uint64 `json:"start_ns" doc:"Start, ns since boot"`
	Comm      string `json:"comm,omitempty"`
	Exe       string `json:"exe,omitempty"`
	UID       uint32 `json:"uid"`
	Container string `json:"container,omitempty"`
}

// File is one inode and its name at that time.
type File struct {
	Path   string `json:"path,omitempty"`
	FS     uint64 `json:"fs,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	Size   uint64 `json:"size,omitempty"`
	Mode   uint32 `json:"mode,omitempty"`
	UID    uint32 `json:"uid,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// Flow is one transport conversation; Src opened it where that is known.
type Flow struct {
	SrcIP    string `json:"src_ip" format:"ip"`
	SrcPort  uint16 `json:"src_port"`
	DstIP    string `json:"dst_ip" format:"ip"`
	DstPort  uint16 `json:"dst_port"`
	Protocol uint32 `json:"proto" doc:"IANA protocol number"`
}

// Request is one HTTP request.
type Request struct {
	Method string `json:"method"`
	URI    string `json:"uri" doc:"As on the wire; secrets stand there as keyed hashes"`
	Host   string `json:"host,omitempty"`
	Flow   *Flow  `json:"flow,omitempty"`
}

// Evidence is one reason.
type Evidence struct {
	What   string  `json:"what"`
	Where  string  `json:"where,omitempty"`
	Weight float64 `json:"weight" doc:"Log-odds in nats"`
	Engine string  `json:"engine,omitempty"`
	Root   string  `json:"root,omitempty" doc:"Root fact it rests on; within one root only the strongest counts"`
}

// Completeness is what could not be seen.
type Completeness struct {
	Losses    []Loss   `json:"losses,omitempty"`
	LateStart bool     `json:"late_start,omitempty"`
	Refused   []string `json:"refused,omitempty" doc:"Hooks that the kernel refused"`
}

// Loss is a span in which a sensor did not see everything.
type Loss struct {
	Sensor string    `json:"sensor"`
	Class  string    `json:"class"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Count  uint64    `json:"count" doc:"0: not known"`
	Reason string    `json:"reason,omitempty"`
}

// Finding is a verdict worth keeping.
type Finding struct {
	ID           string        `json:"id"`
	Time         time.Time     `json:"time" doc:"Of the deed"`
	Published    time.Time     `json:"published,omitzero" doc:"When it left the judge"`
	Host         string        `json:"host"`
	Layer        string        `json:"layer" example:"behaviour"`
	Stage        string        `json:"stage"`
	Rule         string        `json:"rule"`
	Title        string        `json:"title"`
	Colour       string        `json:"colour" enum:"grey,white,black"`
	Score        float64       `json:"score" minimum:"0" maximum:"1" doc:"Calibrated probability"`
	Severity     string        `json:"severity" enum:"critical,high,medium,low" doc:"The score in a word"`
	Techniques   []string      `json:"techniques" doc:"ATT&CK"`
	Evidence     []Evidence    `json:"evidence"`
	Subjects     []Entity      `json:"subjects" doc:"The first is what it is about"`
	Events       []string      `json:"events" doc:"Ids of the events it rests on: tenant/host/epoch/seq"`
	Completeness *Completeness `json:"completeness,omitempty"`
	Bundle       string        `json:"bundle,omitempty" doc:"Policy bundle it rests on"`
	RuleVersion  string        `json:"rule_version,omitempty"`
	Incident     string        `json:"incident,omitempty"`
}

// Incident is one intrusion.
type Incident struct {
	ID           string        `json:"id"`
	Title        string        `json:"title"`
	Score        float64       `json:"score" minimum:"0" maximum:"1"`
	Severity     string        `json:"severity" enum:"critical,high,medium,low" doc:"The score in a word"`
	State        string        `json:"state" doc:"As the judge sees it: open, contained or closed"`
	Status       string        `json:"status" enum:"new,working,solved,ordinary" doc:"As people see it"`
	Assignee     string        `json:"assignee"`
	Version      int64         `json:"version" doc:"Of status and assignee; a change names the one it rests on"`
	Opened       time.Time     `json:"opened"`
	Updated      time.Time     `json:"updated"`
	Aliases      []string      `json:"aliases,omitempty" doc:"Ids of incidents merged into it"`
	Findings     []string      `json:"findings"`
	Hosts        []string      `json:"hosts"`
	Techniques   []string      `json:"techniques"`
	Layers       []string      `json:"layers"`
	Entry        *Entity       `json:"entry,omitempty" doc:"Root cause; absent: unknown"`
	EntryRule    string        `json:"entry_rule,omitempty" doc:"The rule of the trace that named it"`
	Entities     []Entity      `json:"entities,omitempty"`
	Story        []Step        `json:"story,omitempty"`
	Completeness *Completeness `json:"completeness,omitempty"`
}

// Step is one line of an incident's story.
type Step struct {
	Time       time.Time `json:"time"`
	Host       string    `json:"host"`
	Text       string    `json:"text"`
	Techniques []string  `json:"techniques,omitempty"`
	Subject    *Entity   `json:"subject,omitempty"`
	Rule       string    `json:"rule,omitempty" doc:"How it is tied to the entry"`
	Guess      bool      `json:"guess,omitempty"`
	Finding    string    `json:"finding,omitempty"`
}

// Action is what was ordered and where it stands.
type Action struct {
	ID       string    `json:"id"`
	Host     string    `json:"host"`
	Kind     string    `json:"kind"`
	Subject  *Entity   `json:"subject,omitempty"`
	Target   string    `json:"target" doc:"One line for people"`
	Incident string    `json:"incident,omitempty"`
	Findings []string  `json:"findings,omitempty"`
	Reason   string    `json:"reason"`
	Policy   string    `json:"policy,omitempty"`
	Stage    string    `json:"stage" enum:"observe,shadow,enforce"`
	State    string    `json:"state" enum:"ordered,shadowed,done,verified,refused,failed,undone,expired"`
	Verified bool      `json:"verified"`
	Live     bool      `json:"live" doc:"It still has hold of something, or may"`
	Result   string    `json:"result,omitempty"`
	Ordered  time.Time `json:"ordered"`
	Deadline time.Time `json:"deadline" doc:"It ends by itself then"`
	Updated  time.Time `json:"updated"`
}

func wall(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// some gives an empty list for none: a list in the API is never null.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}

// EntityOf turns a sighting into the API's words; nil stays nil.
func EntityOf(s *entity.Sighting) *Entity {
	if s == nil {
		return nil
	}
	e := entityOf(s)
	return &e
}

func entityOf(s *entity.Sighting) Entity {
	e := Entity{Kind: strings.ToLower(s.Kind.String()), Role: s.Role, Host: s.Host, Time: wall(s.WallNs), Label: s.Label(), Text: s.Text}
	if p := s.Process; p != nil {
		e.Process = &Process{PID: p.Pid, StartNs: p.StartNs, Comm: p.Comm, Exe: p.Exe, UID: p.Uid, Container: p.Container}
	}
	if f := s.File; f != nil {
		e.File = &File{Path: f.Path, FS: f.Fs, Inode: f.Inode, Size: f.Size, Mode: f.Mode, UID: f.Uid, SHA256: f.Sha256}
	}
	e.Flow = flowOf(s.Flow)
	if r := s.Request; r != nil {
		e.Request = &Request{Method: r.Method, URI: r.Uri, Host: r.Host, Flow: flowOf(r.Flow)}
	}
	return e
}

func flowOf(f *entity.Flow) *Flow {
	if f == nil {
		return nil
	}
	ip := func(b []byte) string {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return ""
		}
		return a.Unmap().String()
	}
	return &Flow{SrcIP: ip(f.SrcIp), SrcPort: uint16(f.SrcPort), DstIP: ip(f.DstIp), DstPort: uint16(f.DstPort), Protocol: f.Proto}
}

func completenessOf(c *verdict.Completeness) *Completeness {
	if c == nil || len(c.Losses) == 0 && !c.LateStart && len(c.Refused) == 0 {
		return nil
	}
	return &Completeness{LateStart: c.LateStart, Refused: c.Refused, Losses: each(c.Losses, func(l *verdict.LossWindow) Loss {
		return Loss{Sensor: l.Sensor, Class: l.Class, From: wall(l.FromNs), To: wall(l.ToNs), Count: l.Count, Reason: l.Reason}
	})}
}

// FindingOf turns a finding into the API's words.
func FindingOf(f *verdict.Finding, incident string) Finding {
	return Finding{
		ID: f.Id, Time: wall(f.WallNs), Published: wall(f.PublishedNs), Host: f.Host, Layer: f.Layer, Stage: f.Stage, Rule: f.Rule, Title: f.Title,
		Colour: strings.ToLower(f.Colour.String()), Score: f.Score, Severity: verdict.Severity(f.Score), Techniques: some(f.Techniques),
		Evidence: each(f.Evidence, func(e *verdict.Evidence) Evidence {
			return Evidence{What: e.What, Where: e.Where, Weight: e.Weight, Engine: e.Engine, Root: e.Root}
		}),
		Subjects: each(f.Subjects, entityOf), Events: each(f.Events, (*verdict.EventID).Text),
		Completeness: completenessOf(f.Completeness), Bundle: f.Bundle, RuleVersion: f.RuleVersion, Incident: incident,
	}
}

// IncidentOf turns an incident into the API's words. Whole adds story and entities,
// which lists leave out.
func IncidentOf(x ledger.ListedIncident, whole bool) Incident {
	i := x.Incident
	out := Incident{
		ID: i.Id, Title: i.Title, Score: i.Score, Severity: verdict.Severity(i.Score), State: i.State, Status: x.Desk.Status, Assignee: x.Desk.Assignee, Version: x.Desk.Version,
		Opened: wall(i.OpenedNs), Updated: wall(i.UpdatedNs), Aliases: i.Aliases, Findings: some(i.Findings), Hosts: some(i.Hosts),
		Techniques: some(i.Techniques), Layers: some(i.Layers), Entry: EntityOf(i.Entry), EntryRule: i.EntryRule, Completeness: completenessOf(i.Completeness),
	}
	if out.Status == "" {
		out.Status = ledger.Statuses[0]
	}
	if whole {
		out.Entities = each(i.Entities, entityOf)
		out.Story = each(i.Story, func(s *verdict.Step) Step {
			return Step{Time: wall(s.WallNs), Host: s.Host, Text: s.Text, Techniques: s.Techniques, Subject: EntityOf(s.Subject), Rule: s.Rule, Guess: s.Guess, Finding: s.Finding}
		})
	}
	return out
}

// ActionOf turns an action into the API's words.
func ActionOf(r *action.Record) Action {
	a := Action{
		ID: r.ID, Host: r.Host, Kind: string(r.Kind), Subject: EntityOf(r.Subject), Incident: r.Incident, Findings: r.Findings, Reason: r.Reason,
		Policy: r.Policy, Stage: r.Stage.String(), State: string(r.State), Verified: r.State == action.Verified, Live: r.State.Live(), Result: r.Result,
		Ordered: r.Ordered.UTC(), Deadline: r.Deadline.UTC(), Updated: r.Updated.UTC(), Target: r.Host,
	}
	if a.Subject != nil {
		a.Target = a.Subject.Label
	}
	return a
}
