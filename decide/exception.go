// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"sync"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

// Exception says that what matches its scope was ordinary. It is an object of its
// own, never an edit of a rule. An unknown value never matches.
type Exception struct {
	ID      string    `json:"id" yaml:"id"`
	Scope   Scope     `json:"scope" yaml:"scope"`
	Reason  string    `json:"reason" yaml:"reason"`
	Owner   string    `json:"owner" yaml:"owner"`
	Expires time.Time `json:"expires" yaml:"expires"`
	Hits    uint64    `json:"hits" yaml:"-"`
}

// Scope narrows an exception; an empty field does not narrow, but at least Rule or
// Stage must be set.
type Scope struct {
	Layer  string `json:"layer,omitempty" yaml:"layer,omitempty"`
	Stage  string `json:"stage,omitempty" yaml:"stage,omitempty"`
	Rule   string `json:"rule,omitempty" yaml:"rule,omitempty"`
	Host   string `json:"host,omitempty" yaml:"host,omitempty"`
	Exe    string `json:"exe,omitempty" yaml:"exe,omitempty"`       // path.Match pattern of the acting process
	Path   string `json:"path,omitempty" yaml:"path,omitempty"`     // path.Match pattern of every file it is about
	Source string `json:"source,omitempty" yaml:"source,omitempty"` // prefix that every client and source of it lies in
}

// Validate names what is missing.
func (e *Exception) Validate() error {
	var errs []error
	if e.Scope.Rule == "" && e.Scope.Stage == "" {
		errs = append(errs, errors.New("scope names neither rule nor stage, so it would hide everything"))
	}
	if e.Reason == "" || e.Owner == "" {
		errs = append(errs, errors.New("reason and owner are required"))
	}
	if e.Expires.IsZero() {
		errs = append(errs, errors.New("expires is required"))
	}
	if e.Scope.Source != "" {
		if _, err := netip.ParsePrefix(e.Scope.Source); err != nil {
			errs = append(errs, fmt.Errorf("source %q is not a prefix such as 192.0.2.0/24", e.Scope.Source))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("exception %q: %w", e.ID, err)
	}
	return nil
}

// Exceptions is the set in force. Safe for many goroutines.
type Exceptions struct {
	list []*Exception

	mu    sync.Mutex        // guards the hits of all, and fresh
	fresh map[string]uint64 // by id: not taken yet
}

// NewExceptions checks and holds a list.
func NewExceptions(list []*Exception) (*Exceptions, error) {
	for _, e := range list {
		if err := e.Validate(); err != nil {
			return nil, err
		}
	}
	return &Exceptions{list: list, fresh: map[string]uint64{}}, nil
}

// List gives copies of all, without their hits.
func (x *Exceptions) List() []*Exception {
	if x == nil {
		return nil
	}
	out := make([]*Exception, len(x.list))
	for i, e := range x.list {
		out[i] = &Exception{ID: e.ID, Scope: e.Scope, Reason: e.Reason, Owner: e.Owner, Expires: e.Expires}
	}
	return out
}

// Match gives the exception that covers a finding at that moment; nil when none does.
func (x *Exceptions) Match(f *verdict.Finding, now time.Time) *Exception {
	if x == nil {
		return nil
	}
	for _, e := range x.list {
		if now.Before(e.Expires) && e.Scope.covers(f) {
			return e
		}
	}
	return nil
}

// Hit counts that an exception hid something.
func (x *Exceptions) Hit(e *Exception) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.Hits++
	x.fresh[e.ID]++
}

// TakeHits gives the hits since the last time, by id, for whoever keeps them.
func (x *Exceptions) TakeHits() map[string]uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.fresh
	x.fresh = map[string]uint64{}
	return out
}

// GiveBack takes back hits that could not be kept.
func (x *Exceptions) GiveBack(hits map[string]uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, n := range hits {
		x.fresh[id] += n
	}
}

func (s *Scope) covers(f *verdict.Finding) bool {
	for _, pair := range [][2]string{{s.Layer, f.Layer}, {s.Stage, f.Stage}, {s.Rule, f.Rule}, {s.Host, f.Host}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return s.actor(f) && s.files(f) && s.from(f)
}

// actor wants the process that acted, which findings name first.
func (s *Scope) actor(f *verdict.Finding) bool {
	if s.Exe == "" {
		return true
	}
	for _, g := range f.Subjects {
		if exe := g.GetProcess().GetExe(); exe != "" {
			ok, err := path.Match(s.Exe, exe)
			return ok && err == nil
		}
	}
	return false
}

// files wants all: who excepts /srv/a did not except what was done to /etc/cron.d too.
func (s *Scope) files(f *verdict.Finding) bool {
	return all(s.Path != "", f, func(g *entity.Sighting) (string, bool) {
		p := g.GetFile().GetPath()
		return p, p != ""
	}, func(p string) bool {
		ok, err := path.Match(s.Path, p)
		return ok && err == nil
	})
}

// from wants all: an attacker who also comes from an excepted network stays one.
func (s *Scope) from(f *verdict.Finding) bool {
	prefix, err := netip.ParsePrefix(s.Source)
	if s.Source != "" && err != nil {
		return false
	}
	return all(s.Source != "", f, func(g *entity.Sighting) (netip.Addr, bool) {
		a := g.GetRequest().GetFlow().Src().Addr()
		switch {
		case g.Kind == entity.Kind_ADDRESS && g.Role == "source":
			a, _ = netip.ParseAddr(g.Text)
		case g.Kind == entity.Kind_LOGIN, g.Kind == entity.Kind_FLOW && g.Role == "entry":
			a = g.GetFlow().Src().Addr()
		}
		return a, a.IsValid()
	}, prefix.Contains)
}

// all holds when nothing is asked for, or when something is there and all of it is
// covered.
func all[T any](asked bool, f *verdict.Finding, value func(*entity.Sighting) (T, bool), covered func(T) bool) bool {
	if !asked {
		return true
	}
	some := false
	for _, g := range f.Subjects {
		if v, ok := value(g); ok {
			if !covered(v) {
				return false
			}
			some = true
		}
	}
	return some
}
