// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/funnel"
	"github.com/ringwall/ringwall/health"
)

// HostStatus is what an agent said of itself, as it arrived here.
type HostStatus struct {
	Tenant     string             `json:"tenant"`
	Host       string             `json:"host"`
	Components []health.Component `json:"components"`
	Lost       map[string]uint64  `json:"lost,omitempty"` // per "sensor/class", told since this brain's start
}

// hosts remembers what agents say of themselves. Safe for many goroutines.
type hosts struct {
	mu sync.Mutex // guards by
	by map[[2]string]*hostState
}

type hostState struct {
	components map[string]health.Component
	lost       map[string]uint64
	stages     []funnel.StageCounts
	last       time.Time // when it was heard of
}

// componentsKept and stagesKept bound what one agent may claim to have.
const (
	componentsKept = 256
	stagesKept     = 64
)

// of is the state of one host, made where there is none yet. The caller holds mu.
func (h *hosts) of(tenant, host string) *hostState {
	k := [2]string{tenant, host}
	st := h.by[k]
	if st == nil {
		if h.by == nil {
			h.by = map[[2]string]*hostState{}
		}
		st = &hostState{components: map[string]health.Component{}, lost: map[string]uint64{}}
		h.by[k] = st
	}
	return st
}

// heard notes that a host was heard of.
func (h *hosts) heard(tenant, host string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if st := h.of(tenant, host); at.After(st.last) {
		st.last = at
	}
}

// note takes what an event says of its sender; past says that it is only judged again.
func (h *hosts) note(ev *event.Event, past bool) {
	if past {
		h.heard(ev.Tenant, ev.Host, ev.Wall())
	}
	state, loss := ev.GetState(), ev.GetLoss()
	if state == nil && (loss == nil || past) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.of(ev.Tenant, ev.Host)
	if counts := state.GetStages(); len(counts) > 0 {
		st.stages = stagesOf(counts[:min(len(counts), stagesKept)])
		return
	}
	if state != nil {
		if _, known := st.components[state.Component]; known || len(st.components) < componentsKept {
			st.components[state.Component] = health.Component{Name: state.Component, State: state.State, Reason: state.Reason, Since: ev.Wall()}
		}
		return
	}
	name := loss.Sensor + "/" + loss.Class
	if _, known := st.lost[name]; known || len(st.lost) < componentsKept {
		st.lost[name] += loss.Count
	}
}

func stagesOf(told []*event.StageCount) []funnel.StageCounts {
	out := make([]funnel.StageCounts, len(told))
	for i, c := range told {
		out[i] = funnel.StageCounts{
			Layer: c.Layer, Stage: c.Stage, In: c.In, White: c.White, Black: c.Black, Passed: c.Passed, Errors: c.Errors,
			P50: time.Duration(c.P50Ns), P99: time.Duration(c.P99Ns), Busy: time.Duration(c.BusyNs),
		}
	}
	return out
}

// funnels lists what the agents of a tenant last told of their stages, by host.
func (h *hosts) funnels(tenant string) (out []Funnel) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, st := range h.by {
		if k[0] == tenant && len(st.stages) > 0 {
			out = append(out, Funnel{k[1], st.stages})
		}
	}
	slices.SortFunc(out, func(a, b Funnel) int { return cmp.Compare(a.Host, b.Host) })
	return out
}

// status lists all, by tenant and host.
func (h *hosts) status() []HostStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]HostStatus, 0, len(h.by))
	for k, st := range h.by {
		if len(st.components) == 0 && len(st.lost) == 0 {
			continue
		}
		x := HostStatus{Tenant: k[0], Host: k[1], Components: slices.Collect(maps.Values(st.components)), Lost: maps.Clone(st.lost)}
		slices.SortFunc(x.Components, func(a, b health.Component) int { return cmp.Compare(a.Name, b.Name) })
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b HostStatus) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Host, b.Host))
	})
	return out
}

// about gives a copy of what is known of one host.
func (h *hosts) about(tenant, host string) (components []health.Component, lost map[string]uint64, last time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.by[[2]string{tenant, host}]
	if st == nil {
		return nil, nil, time.Time{}
	}
	components = slices.SortedFunc(maps.Values(st.components), func(a, b health.Component) int { return cmp.Compare(a.Name, b.Name) })
	return components, maps.Clone(st.lost), st.last
}
