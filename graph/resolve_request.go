// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"strconv"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// requestsKept bounds what one keep-alive connection may hold in memory.
const requestsKept = 256

// request resolves one sighting of an HTTP request. Each sensor sees the requests of
// a flow in their order, so the oldest one with the same method and target that this
// kind of sensor has not yet told is meant.
func (g *Graph) request(flow NodeID, ev *event.Event, t int64) NodeID {
	a := ev.GetHttp()
	if flow == 0 {
		return g.loggedRequest(a, t)
	}
	fl := g.Node(flow).Flow
	for _, id := range fl.requests {
		n := g.Node(id)
		if n == nil || !sameRequest(n.Request.Ref, a.Request) || abs(t-n.First) > 2*slack {
			continue
		}
		if n.Request.Seen(a.Seen) && !n.Request.again(a) {
			continue
		}
		g.fillRequest(n, a)
		g.touch(id, t)
		return id
	}
	key := entity.KeyOf(entity.Kind_REQUEST, "", g.Node(flow).Key.String(), a.Request.GetMethod(), a.Request.GetUri(), strconv.FormatInt(t, 10))
	if old, ok := g.byKey[key]; ok {
		return old
	}
	ref := &entity.Request{Flow: fl.Ref, Method: a.Request.Method, Uri: a.Request.Uri, Host: a.Request.Host}
	id := g.add(Node{Key: key, Kind: entity.Kind_REQUEST, Host: g.Node(flow).Host, First: t, Last: t, Request: &Request{Ref: ref}}, 512+len(a.Request.Uri))
	g.fillRequest(g.Node(id), a)
	if fl.requests = append(fl.requests, id); len(fl.requests) > requestsKept {
		fl.requests = append(fl.requests[:0], fl.requests[requestsKept/2:]...)
	}
	addr := fl.Ref.Src().Addr().String()
	if g.recent[addr] = append(g.recent[addr], id); len(g.recent[addr]) > requestsKept {
		g.recent[addr] = append(g.recent[addr][:0], g.recent[addr][requestsKept/2:]...)
	}
	g.link(flow, id, Carried, t, nil, g.refOf(ev))
	return id
}

// loggedRequest finds what an access-log line, which tells no port, speaks of.
func (g *Graph) loggedRequest(a *event.HttpActivity, t int64) NodeID {
	addr := entity.Addr(a.GetRequest().GetFlow().GetSrcIp()).String()
	for _, id := range g.recent[addr] {
		n := g.Node(id)
		if n == nil || n.Request.Seen(a.Seen) || !sameRequest(n.Request.Ref, a.Request) || abs(t-n.Last) > 2*slack {
			continue
		}
		g.fillRequest(n, a)
		return id
	}
	return 0
}

// again tells whether a sensor speaks of a request it told before: its head first, its
// body when that came later.
func (r *Request) again(a *event.HttpActivity) bool {
	return int(a.Seen) < len(r.ordinal) && r.ordinal[a.Seen] == a.Ordinal+1 && (a.BodyLen > 0 || len(a.Params) > 0)
}

func sameRequest(a, b *entity.Request) bool {
	return a.GetMethod() == b.GetMethod() && a.GetUri() == b.GetUri()
}

func (g *Graph) fillRequest(n *Node, a *event.HttpActivity) {
	r := n.Request
	r.seen |= 1 << a.Seen
	if int(a.Seen) < len(r.ordinal) {
		r.ordinal[a.Seen] = a.Ordinal + 1
	}
	if a.Script != "" {
		r.Script = a.Script
	}
	if len(a.Uploads) > len(r.Uploads) {
		r.Uploads = a.Uploads
	}
	if len(a.Tokens) > len(r.Tokens) {
		r.Tokens = a.Tokens
	}
	if a.UserAgent != "" {
		r.UA = a.UserAgent
	}
	if a.Status != 0 {
		r.Status = a.Status
	}
}
