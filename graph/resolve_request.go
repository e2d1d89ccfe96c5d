// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// requestsKept bounds what one keep-alive connection may hold in memory.
const requestsKept = 256

// requestBytes: the Request, its sighting and its entries in the indexes.
const requestBytes = 560

// request resolves one sighting of an HTTP request. A sensor that tells the same
// place in the same connection again adds what it has learned (the body). Else, of
// the requests of the flow with the same method and target that this sensor has not
// told yet, the one nearest in time is meant.
func (g *Graph) request(flow NodeID, f *Fact, a *event.HttpActivity) NodeID {
	if a.Seen == event.HttpActivity_LOG {
		return g.loggedRequest(f, a)
	}
	if flow == 0 {
		return g.insideRequest(f, a)
	}
	fl := g.Node(flow).Flow
	me := telling{f.Host, a.Seen, a.Ordinal, connOf(a)}
	if a.Seen != event.HttpActivity_FASTCGI { // whose parameters come in one piece
		if id := g.sameTelling(fl.requests, me, a); id != 0 {
			return id
		}
	}
	var best NodeID
	bestGap := int64(1 << 62)
	for _, id := range fl.requests {
		if n := g.Node(id); n != nil && n.mayBe(me, a, f.T) && abs(f.T-n.First) < bestGap {
			best, bestGap = id, abs(f.T-n.First)
		}
	}
	if best == 0 {
		best = g.newRequest(flow, f, a)
	}
	g.fillRequest(best, me, f, a)
	return best
}

func (g *Graph) sameTelling(list []NodeID, me telling, a *event.HttpActivity) NodeID {
	for _, id := range slices.Backward(list) {
		if n := g.Node(id); n != nil && slices.Contains(n.Request.told, me) && sameRequest(n.Request.Ref, a.Request) {
			g.enrich(n, a)
			return id
		}
	}
	return 0
}

// mayBe tells whether a sensor that has not yet told this request can mean it. A web
// server hands a request on only when its body has come, so FastCGI may lag by as
// long as the client takes; everyone else sees it at the same time.
func (n *Node) mayBe(me telling, a *event.HttpActivity, t int64) bool {
	r := n.Request
	if !sameRequest(r.Ref, a.Request) || t < n.First-2*slack {
		return false
	}
	for _, o := range r.told {
		if o.host == me.host && o.seen == me.seen {
			return false
		}
	}
	if a.Seen == event.HttpActivity_FASTCGI {
		return r.Answered == 0 || t < r.Answered+2*slack
	}
	return t < n.First+2*slack
}

func (g *Graph) newRequest(flow NodeID, f *Fact, a *event.HttpActivity) NodeID {
	n := g.Node(flow)
	fl := n.Flow
	key := entity.KeyOf(entity.Kind_REQUEST, "", n.Key.String(), a.Request.GetMethod(), a.Request.GetUri(), strconv.FormatInt(f.T, 10), strconv.Itoa(int(a.Ordinal)))
	if old, ok := g.byKey[key]; ok {
		return old
	}
	ref := &entity.Request{Flow: fl.Ref, Method: a.Request.Method, Uri: a.Request.Uri, Host: a.Request.Host}
	id := g.add(Node{Key: key, Kind: entity.Kind_REQUEST, Host: f.Host, First: f.T, Last: f.T, Request: &Request{Ref: ref}}, requestBytes+len(a.Request.Uri))
	fl.requests = bounded(fl.requests, id)
	addr := fl.Ref.Src().Addr()
	g.recent[addr] = bounded(g.recent[addr], id)
	g.link(flow, id, Carried, f.T, nil, f.Ref)
	return id
}

func bounded(list []NodeID, id NodeID) []NodeID {
	if len(list) >= requestsKept {
		list = append(list[:0], list[requestsKept/2:]...)
	}
	return append(list, id)
}

// insideRequest is one that came over a unix socket and names no client: the process
// at the other end passed on one of the requests in its own hands (Request.Via).
func (g *Graph) insideRequest(f *Fact, a *event.HttpActivity) NodeID {
	if a.Channel == 0 || f.Actor == 0 {
		return 0
	}
	key := entity.KeyOf(entity.Kind_REQUEST, g.scope(f.Host), strconv.FormatUint(a.Channel, 10), strconv.Itoa(int(a.Ordinal)), a.Request.GetMethod(), a.Request.GetUri(), g.Node(f.Actor).Key.String())
	me := telling{f.Host, a.Seen, a.Ordinal, a.Channel}
	id, ok := g.byKey[key]
	if n := g.Node(id); ok && f.T-n.First < 2*slack {
		g.fillRequest(id, me, f, a)
		return id
	}
	ref := &entity.Request{Method: a.Request.GetMethod(), Uri: a.Request.GetUri(), Host: a.Request.GetHost()}
	id = g.add(Node{Key: key, Kind: entity.Kind_REQUEST, Host: f.Host, First: f.T, Last: f.T,
		Request: &Request{Ref: ref, Via: g.hosts[f.Host].peers[a.Channel]}}, requestBytes+len(ref.Uri))
	g.fillRequest(id, me, f, a)
	return id
}

// loggedRequest finds what an access-log line, which tells no port, speaks of.
func (g *Graph) loggedRequest(f *Fact, a *event.HttpActivity) NodeID {
	me := telling{host: f.Host, seen: a.Seen}
	for _, id := range g.recent[entity.Addr(a.GetRequest().GetFlow().GetSrcIp())] {
		n := g.Node(id)
		if n == nil || !sameRequest(n.Request.Ref, a.Request) || slices.Contains(n.Request.told, me) || abs(f.T-max(n.Last, n.Request.Answered)) > 2*slack {
			continue
		}
		g.fillRequest(id, me, f, a)
		return id
	}
	return 0
}

// fillRequest adds what this sensor knows.
func (g *Graph) fillRequest(id NodeID, me telling, f *Fact, a *event.HttpActivity) {
	n := g.Node(id)
	if len(n.Request.told) < 16 {
		n.Request.told = append(n.Request.told, me)
	}
	if a.Seen == event.HttpActivity_SOCKET || a.Seen == event.HttpActivity_FASTCGI || a.Seen == event.HttpActivity_TLS {
		n.Host = f.Host // whoever serves it; the wire is seen at the client's too
	}
	g.enrich(n, a)
	g.touch(id, f.T)
}

func (g *Graph) enrich(n *Node, a *event.HttpActivity) {
	r := n.Request
	if a.Script != "" {
		r.Script = a.Script
	}
	if len(a.Uploads) > len(r.Uploads) {
		r.Uploads = a.Uploads
		g.grew(n, 160*len(a.Uploads))
	}
	if len(a.Tokens) > len(r.Tokens) {
		r.Tokens = a.Tokens
		g.grew(n, argvBytes(a.Tokens))
	}
	if len(r.Operators) == 0 {
		for _, q := range a.Params {
			if len(r.Operators) < 8 && len(q.Value) <= 1024 && strings.ContainsAny(q.Value, ";|&`$<>\n") {
				r.Operators = append(r.Operators, q.Value)
				g.grew(n, 16+len(q.Value))
			}
		}
	}
	if a.UserAgent != "" {
		r.UA = g.word(a.UserAgent)
	}
	if a.Status != 0 {
		r.Status = a.Status
	}
	if r.Ref.Host == "" {
		r.Ref.Host = a.Request.GetHost()
	}
}

// script is the file that a request runs: told by FastCGI, else, where the server
// runs pages itself, a page that somebody wrote at a path that ends as the target does.
func (g *Graph) script(f *Fact, a *event.HttpActivity, serving bool) NodeID {
	if a.Script != "" {
		return g.file(f.Host, &entity.File{Path: a.Script}, f.T)
	}
	if !serving || len(g.hosts[f.Host].pages) == 0 {
		return 0
	}
	target, _, _ := strings.Cut(a.Request.GetUri(), "?")
	for from := 0; from < len(target); {
		end := strings.IndexByte(target[from+1:], '/')
		if end < 0 {
			end = len(target)
		} else {
			end += from + 1
		}
		if name := scriptName(target[:end]); name != "" {
			for _, id := range slices.Backward(g.hosts[f.Host].pages[name]) {
				if n := g.Node(id); n != nil && !n.File.gone && strings.HasSuffix(n.File.Path(), target[:end]) {
					return id
				}
			}
		}
		from = end
	}
	return 0
}

// scriptName is the base name of what a web server may run when asked for it.
func scriptName(p string) string {
	switch strings.ToLower(path.Ext(p)) {
	case ".php", ".phtml", ".phar", ".php3", ".php4", ".php5", ".php7", ".php8", ".pht", ".phps", ".inc",
		".jsp", ".jspx", ".asp", ".aspx", ".cgi", ".pl", ".py", ".rb", ".sh":
		return path.Base(p)
	}
	return ""
}

// written makes a page that somebody wrote known by its name.
func (g *Graph) written(h uint32, id NodeID, n *Node) {
	name := scriptName(n.File.Path())
	if name == "" {
		return
	}
	pages := g.hosts[h].pages
	if list := pages[name]; !slices.Contains(list, id) {
		pages[name] = bounded(list, id)
	}
}
