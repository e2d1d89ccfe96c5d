// SPDX-License-Identifier: Apache-2.0

// Package graph is the typed temporal memory: everything events name becomes one
// node, whoever saw it, and every deed an edge from cause to effect.
//
// In come events in their order of arrival; out come nodes, edges and the answer to
// "which entity does this sighting mean" (the resolver: nothing else computes entity
// keys). It has no opinion: rules, traces and incidents read it from package
// behaviour.
//
// It believes boot time. Every host has a steady clock, boot time plus the offset
// first seen for that boot, so a stepped wall clock neither reorders nor repeats.
//
// The worst trap: two sightings of one thing rarely agree in every field (the
// kernel has no birth time, the wire has no pid, overlayfs shows two inode numbers
// for one file). The joins and their order are in resolve_*.go, each with its test.
//
// A Graph belongs to one goroutine; it is built to be owned by one worker per
// partition, not shared.
package graph

import (
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// NodeID indexes a node of one Graph. 0 is no node.
type NodeID int32

// EdgeType says how the cause brought the effect.
type EdgeType uint8

// The typed deeds. Direction is always cause → effect.
const (
	Forked    EdgeType = iota + 1 // process → process
	Ran                           // file → process: image or script
	Read                          // file → process
	Wrote                         // process → file
	Accepted                      // flow → process
	Connected                     // process → flow
	Carried                       // flow → request
	Served                        // request → process
	Opened                        // address → flow
	LoggedIn                      // flow → login
	Began                         // login → process
	Executed                      // file → request: the script it ran
	Traced                        // process → process: ptrace
)

var edgeNames = [...]string{"", "forked", "ran", "read", "wrote", "accepted", "connected", "carried", "served", "opened", "logged in", "began", "executed", "traced"}

// String names the deed.
func (t EdgeType) String() string { return edgeNames[t] }

// Edge is one deed as seen from one of its ends.
type Edge struct {
	Peer NodeID
	Type EdgeType
	T    int64 // steady ns of the first time
	Last int64 // of the last time; repeated deeds collapse
	N    uint32
	TID  uint32 // thread that did it, where known
	G    uint64 // goroutine that did it, where known
	By   Ref    // event of the first time
}

// Ref names the event a fact rests on.
type Ref struct {
	Host  uint32
	Epoch uint64
	Seq   uint64
}

// Node is one entity.
type Node struct {
	Key   entity.Key
	Kind  entity.Kind
	Host  uint32 // index into the hosts; 0 for global kinds
	First int64  // steady ns
	Last  int64
	In    []Edge
	Out   []Edge

	Process *Process // PROCESS
	File    *File    // FILE
	Flow    *Flow    // FLOW
	Request *Request // REQUEST
	Text    string   // address, domain, user, login…

	bytes int
}

// Process is what is known of one process life.
type Process struct {
	Ref      *entity.Process
	Argv     []string
	CWD      string
	Parent   NodeID
	Exe      string
	Image    *entity.File
	FDs      []*event.Descriptor
	GID      uint32
	TTY      string
	Env      []string
	Exited   int64 // steady ns, 0 while alive
	Snapshot bool  // was running when the sensor started
	Execs    int
	Serving  []Serve
	peak     int  // most requests in flight at once
	loop     bool // reads of several connections alternate on one thread
}

// EventLoop tells whether one thread of the process was seen to juggle several
// unanswered connections, so "same thread" means nothing for it.
func (p *Process) EventLoop() bool { return p.loop }

// OneAtATime tells whether the process never had two requests in flight.
func (p *Process) OneAtATime() bool { return p.peak <= 1 }

// Serve is one request in the hands of one process.
type Serve struct {
	Request NodeID
	Seen    event.HttpActivity_Seen
	TID     uint32
	G       uint64
	From    int64 // steady ns
	To      int64 // answered, 0 while in flight
	conn    uint64
}

// File is what is known of one inode.
type File struct {
	Ref    *entity.File
	Paths  []string // every name it had, oldest first, bounded
	Writer NodeID   // last process that wrote it
	Wrote  int64    // when
	gone   bool
}

// Path is the current name.
func (f *File) Path() string { return f.Ref.GetPath() }

// Flow is one interval of a conversation.
type Flow struct {
	Ref      *entity.Flow
	Client   end // the end that connected
	Server   end
	Closed   int64
	requests []NodeID
	wire     bool
}

// end is one end of a flow as a host saw it.
type end struct {
	host   uint32
	netns  uint64
	cookie uint64
	set    bool
}

// Request is one HTTP request.
type Request struct {
	Ref     *entity.Request
	Status  uint32
	Script  string
	Uploads []*event.Upload
	Tokens  []string
	UA      string
	seen    uint32    // bit per event.HttpActivity_Seen
	ordinal [8]uint32 // per Seen: place in its connection, from 1
}

// Seen tells whether a sensor of that kind saw the request.
func (r *Request) Seen(s event.HttpActivity_Seen) bool { return r.seen&(1<<s) != 0 }

// Config bounds the graph.
type Config struct {
	Bytes   int64 `yaml:"bytes"`   // memory budget, default 256 MiB
	MaxHub  int   `yaml:"max_hub"` // edges kept per node and direction, default 4096
	Partner int64 `yaml:"-"`       // reserved for tests
}

// DefaultConfig is what one host or a small fleet needs.
func DefaultConfig() Config { return Config{Bytes: 256 << 20, MaxHub: 4096} }

// Graph is the memory of one partition.
type Graph struct {
	cfg    Config
	tenant string
	nodes  []Node
	free   []NodeID
	byKey  map[entity.Key]NodeID
	hosts  []*host
	byName map[string]uint32
	tuples map[tuple][]NodeID
	recent map[string][]NodeID // client address → its latest requests, for access-log lines
	bytes  int64
	hand   int
	now    int64

	evicted uint64
}

// host is the resolver's state for one host and boot.
type host struct {
	name   string
	boot   string
	offset int64 // steady - boot
	known  bool
	pids   map[uint32]NodeID
	paths  map[string]NodeID
	inodes map[inode]NodeID
}

type inode struct{ fs, ino uint64 }

// New makes an empty graph for one tenant.
func New(tenant string, cfg Config) *Graph {
	def := DefaultConfig()
	if cfg.Bytes == 0 {
		cfg.Bytes = def.Bytes
	}
	if cfg.MaxHub == 0 {
		cfg.MaxHub = def.MaxHub
	}
	return &Graph{
		cfg: cfg, tenant: tenant,
		nodes: make([]Node, 1), hosts: []*host{{}},
		byKey: map[entity.Key]NodeID{}, byName: map[string]uint32{},
		tuples: map[tuple][]NodeID{}, recent: map[string][]NodeID{},
	}
}

// Node gives the node, nil for 0 or an evicted one. The pointer is good until the
// next Add.
func (g *Graph) Node(id NodeID) *Node {
	if id <= 0 || int(id) >= len(g.nodes) || g.nodes[id].Kind == entity.Kind_UNKNOWN {
		return nil
	}
	return &g.nodes[id]
}

// Find gives the node with that key.
func (g *Graph) Find(k entity.Key) (NodeID, bool) {
	id, ok := g.byKey[k]
	return id, ok
}

// HostName is the name behind Node.Host, Ref.Host.
func (g *Graph) HostName(i uint32) string { return g.hosts[i].name }

// Stats is what the graph holds.
type Stats struct {
	Nodes   int
	Bytes   int64
	Evicted uint64
}

// Stats reports size and what eviction took.
func (g *Graph) Stats() Stats {
	return Stats{Nodes: len(g.byKey), Bytes: g.bytes, Evicted: g.evicted}
}

// Now is the steady time of the latest event.
func (g *Graph) Now() int64 { return g.now }

// EventID turns a Ref back into the event's name.
func (g *Graph) EventID(r Ref) *verdict.EventID {
	return &verdict.EventID{Tenant: g.tenant, Host: g.hosts[r.Host].name, Epoch: r.Epoch, Seq: r.Seq}
}

// add makes a node.
func (g *Graph) add(n Node, cost int) NodeID {
	n.bytes = 256 + cost
	g.bytes += int64(n.bytes)
	var id NodeID
	if len(g.free) > 0 {
		id = g.free[len(g.free)-1]
		g.free = g.free[:len(g.free)-1]
		g.nodes[id] = n
	} else {
		id = NodeID(len(g.nodes))
		g.nodes = append(g.nodes, n)
	}
	g.byKey[n.Key] = id
	return id
}

// edgeBytes is one edge at both of its ends.
const edgeBytes = 2 * 64

// link writes cause → effect; a repeated deed of the same pair and type moves only
// its Last and N.
func (g *Graph) link(cause, effect NodeID, typ EdgeType, t int64, actor *entity.Process, by Ref) {
	if cause == 0 || effect == 0 || cause == effect {
		return
	}
	c, e := &g.nodes[cause], &g.nodes[effect]
	for i := len(e.In) - 1; i >= 0 && i >= len(e.In)-16; i-- {
		if in := &e.In[i]; in.Peer == cause && in.Type == typ {
			in.Last, in.N = t, in.N+1
			for j := len(c.Out) - 1; j >= 0; j-- {
				if out := &c.Out[j]; out.Peer == effect && out.Type == typ {
					out.Last, out.N = t, out.N+1
					break
				}
			}
			return
		}
	}
	edge := Edge{Type: typ, T: t, Last: t, N: 1, TID: actor.GetTid(), G: actor.GetGoroutine(), By: by}
	edge.Peer = effect
	c.Out = g.bounded(append(c.Out, edge))
	edge.Peer = cause
	e.In = g.bounded(append(e.In, edge))
	g.bytes += edgeBytes
	e.bytes += edgeBytes / 2
	c.bytes += edgeBytes / 2
}

// bounded forgets the older half of a hub's edges.
func (g *Graph) bounded(edges []Edge) []Edge {
	if len(edges) <= g.cfg.MaxHub {
		return edges
	}
	return append(edges[:0], edges[len(edges)/2:]...)
}

// touch moves a node's time forward.
func (g *Graph) touch(id NodeID, t int64) {
	if n := g.Node(id); n != nil && t > n.Last {
		n.Last = t
	}
}
