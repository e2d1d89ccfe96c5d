// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/health"
)

// Host is one host, by its enrolment and by its own word.
type Host struct {
	Name       string             `json:"name"`
	State      string             `json:"state" enum:"on,degraded,silent,revoked" doc:"silent: not heard of for ten minutes, or ever"`
	Group      string             `json:"group,omitempty"`
	Key        string             `json:"key,omitempty" doc:"Its public key on the bus"`
	Enrolled   time.Time          `json:"enrolled,omitzero"`
	Revoked    time.Time          `json:"revoked,omitzero"`
	Last       time.Time          `json:"last,omitzero" doc:"When it was heard of"`
	About      string             `json:"about,omitempty" doc:"Kernel, system and version"`
	Bundle     string             `json:"bundle,omitempty" doc:"What it works from"`
	Newest     string             `json:"newest,omitempty" doc:"The newest bundle of its group"`
	Incidents  int                `json:"incidents" doc:"That wait for people"`
	Components []health.Component `json:"components" doc:"Sensors and other parts, as its agent tells of them"`
	Lost       map[string]uint64  `json:"lost" doc:"Events lost by sensor and class, told since this brain's start"`
}

func hostOf(h brain.Host) Host {
	out := Host{
		Name: h.Name, State: h.State, Group: h.Group, Key: h.Key, Enrolled: h.Enrolled, Revoked: h.Revoked, Last: h.Last.UTC(), About: h.About, Bundle: h.Bundle,
		Newest: h.Newest, Incidents: h.Incidents, Components: some(h.Components), Lost: h.Lost,
	}
	if out.Lost == nil {
		out.Lost = map[string]uint64{}
	}
	return out
}

// InventoryItem is one thing that a host has.
type InventoryItem struct {
	Kind    string    `json:"kind" enum:"listener,connection,package,user,container"`
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Told    time.Time `json:"told" doc:"When it came, or last changed"`
	Proto   uint32    `json:"proto,omitempty" doc:"IANA protocol number"`
	Source  string    `json:"source,omitempty" doc:"Address and port that opened a connection"`
	Target  string    `json:"target,omitempty" doc:"Address and port that is listened on or talked to"`
	Process *Process  `json:"process,omitempty" doc:"Who holds the socket"`
}

func inventoryOf(i brain.Item) InventoryItem {
	out := InventoryItem{Kind: i.Kind, Name: i.Name, Version: i.Version, Detail: i.Detail, Told: i.Told, Proto: i.Proto}
	if i.Source.Addr().IsValid() && !i.Source.Addr().IsUnspecified() {
		out.Source = i.Source.String()
	}
	if i.Target.Addr().IsValid() {
		out.Target = i.Target.String()
	}
	if p := i.Process; p.GetPid() != 0 {
		out.Process = &Process{PID: p.Pid, StartNs: p.StartNs, Comm: p.Comm, Exe: p.Exe, UID: p.Uid, Container: p.Container}
	}
	return out
}

// Inventory is a page of what a host has.
type Inventory struct {
	Page[InventoryItem]
	Cut bool `json:"cut" doc:"There is more than is listed: the answer is bounded"`
}

// HostIn names a host.
type HostIn struct {
	In
	Host string `path:"host" minLength:"1" maxLength:"255"`
}

func (s *Server) hostOps() {
	const tag = "Hosts"
	type list struct {
		ListIn
		Text  string `query:"q" maxLength:"256" doc:"In name, group or system"`
		State string `query:"state" enum:"on,degraded,silent,revoked"`
		Group string `query:"group" maxLength:"64"`
		Sort  string `query:"sort" enum:"last,name,incidents,enrolled" default:"last"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/hosts", id: "listHosts", tag: tag, need: access.Read, summary: "List hosts with how they are"},
		func(ctx context.Context, in *list) (*body[Page[Host]], error) {
			all, err := s.back.Hosts(ctx, in.tenant())
			if err != nil {
				return nil, err
			}
			q := strings.ToLower(in.Text)
			all = slices.DeleteFunc(all, func(h brain.Host) bool {
				return in.State != "" && h.State != in.State || in.Group != "" && h.Group != in.Group || !strings.Contains(strings.ToLower(h.Name+"\x00"+h.Group+"\x00"+h.About), q)
			})
			page, err := window(all, in.ListIn, func(h brain.Host) place {
				key := map[string]string{"last": moment(h.Last), "name": "", "incidents": number(h.Incidents), "enrolled": moment(h.Enrolled)}[in.Sort]
				return place{key, h.Name}
			})
			return answer(Page[Host]{each(page.Items, hostOf), page.Next}), err
		})
	register(s, operation{method: http.MethodGet, path: "/v1/hosts/{host}", id: "getHost", tag: tag, need: access.Read, summary: "Show a host", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, in *HostIn) (*body[Host], error) {
			h, err := s.back.Host(ctx, in.tenant(), in.Host)
			if err != nil {
				return nil, err
			}
			return answer(hostOf(h)), nil
		})
	type inventory struct {
		ListIn
		Host string `path:"host" minLength:"1" maxLength:"255"`
		Kind string `query:"kind" enum:"listener,connection,package,user,container" default:"listener"`
		Text string `query:"q" maxLength:"256" doc:"In name, version or detail"`
		Sort string `query:"sort" enum:"name,told" default:"name"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/hosts/{host}/inventory", id: "getInventory", tag: tag, need: access.Read, summary: "List what a host listens on, talks to and has installed, as its inventory told last",
		text: "Read from the archive; needs the engine of hunts."},
		func(ctx context.Context, in *inventory) (*body[Inventory], error) {
			items, cut, err := s.back.Inventory(ctx, in.tenant(), in.Host, in.Kind)
			if err != nil {
				return nil, err
			}
			q := strings.ToLower(in.Text)
			items = slices.DeleteFunc(items, func(i brain.Item) bool {
				return !strings.Contains(strings.ToLower(i.Name+"\x00"+i.Version+"\x00"+i.Detail), q)
			})
			page, err := window(items, in.ListIn, func(i brain.Item) place {
				if in.Sort == "told" {
					return place{moment(i.Told), i.Name + "\x00" + i.Detail}
				}
				return place{"", i.Name + "\x00" + i.Detail}
			})
			return answer(Inventory{Page[InventoryItem]{each(page.Items, inventoryOf), page.Next}, cut}), err
		})
	s.processOps(tag)
}

// moment writes a time so that text order is its order; none comes first.
func moment(t time.Time) string {
	if t.IsZero() {
		return number(0)
	}
	return number(t.UnixNano())
}
