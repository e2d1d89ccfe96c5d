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
	"net/netip"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

// Config bounds the graph.
type Config struct {
	Bytes  int64 `yaml:"bytes"`   // memory budget, default 256 MiB
	MaxHub int   `yaml:"max_hub"` // edges kept per node and direction, default 4096
}

// DefaultConfig is what one host or a small fleet needs.
func DefaultConfig() Config { return Config{Bytes: 256 << 20, MaxHub: 4096} }

// Graph is the memory of one partition.
type Graph struct {
	cfg     Config
	tenant  string
	pages   [][]Node // of pageLen nodes; place 0 is no node
	places  int      // places given out
	free    []uint32
	byKey   map[entity.Key]NodeID
	hosts   []*host
	byName  map[string]uint32
	epochs  []uint64
	epoch   map[uint64]uint32
	tuples  map[tuple][]NodeID
	clients map[netip.AddrPort]NodeID // latest flow that an end opened, for sightings that tell only one end
	recent  map[netip.Addr][]NodeID   // client address → its latest requests, for access-log lines
	words   map[string]string         // names that many nodes share
	bytes   int64
	now     int64
	hand    clockHand

	evicted uint64
}

// host is the resolver's state for one host and boot.
type host struct {
	name   string
	boot   string
	scope  string // key scope of what lives on this host and boot
	offset int64  // steady - boot
	known  bool
	told   int64 // steady: the kernel sensor has told all up to then
	pids   map[uint32]NodeID
	paths  map[string]NodeID
	inodes map[inode]NodeID
	pages  map[string][]NodeID // base name → scripts somebody wrote, newest last
	peers  map[uint64]NodeID   // inode of a unix socket → process at its other end
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
		cfg: cfg, tenant: tenant, places: 1, hosts: []*host{{}},
		byKey: map[entity.Key]NodeID{}, byName: map[string]uint32{}, epoch: map[uint64]uint32{},
		tuples: map[tuple][]NodeID{}, clients: map[netip.AddrPort]NodeID{}, recent: map[netip.Addr][]NodeID{}, words: map[string]string{},
	}
}

// pageLen is how many nodes are allocated at once; pages never move.
const pageLen = 1024

func (g *Graph) at(place int) *Node { return &g.pages[place/pageLen][place%pageLen] }

// Node gives the node, nil for 0 or an evicted one. What it points to is good until
// the next Add.
func (g *Graph) Node(id NodeID) *Node {
	if p := id.place(); p > 0 && p < g.places {
		if n := g.at(p); n.gen == uint32(id>>32) && n.Kind != entity.Kind_UNKNOWN {
			return n
		}
	}
	return nil
}

// Find gives the node with that key.
func (g *Graph) Find(k entity.Key) (NodeID, bool) {
	id, ok := g.byKey[k]
	return id, ok
}

// Taint marks a node as convicted. Tainted nodes are evicted last.
func (g *Graph) Taint(id NodeID) {
	if n := g.Node(id); n != nil {
		n.Tainted = true
	}
}

// Acquit takes the mark away.
func (g *Graph) Acquit(id NodeID) {
	if n := g.Node(id); n != nil {
		n.Tainted = false
	}
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

func (g *Graph) refOf(h uint32, ev *event.Event) Ref {
	i, ok := g.epoch[ev.Epoch]
	if !ok {
		i = uint32(len(g.epochs))
		g.epochs = append(g.epochs, ev.Epoch)
		g.epoch[ev.Epoch] = i
	}
	return Ref{h, i, ev.Seq}
}

// EventID turns a Ref back into the event's name; nil for the zero Ref.
func (g *Graph) EventID(r Ref) *verdict.EventID {
	if r == (Ref{}) {
		return nil
	}
	return &verdict.EventID{Tenant: g.tenant, Host: g.hosts[r.Host].name, Epoch: g.epochs[r.epoch], Seq: r.Seq}
}

// nodeBytes is a node, its place in byKey (measured: 40 bytes an entry at the map's
// mean load) and its share of the resolver's other maps.
const nodeBytes = 144 + 40 + 24

// add makes a node. cost is what it holds beside the node itself, in bytes.
func (g *Graph) add(n Node, cost int) NodeID {
	n.fixed = int32(nodeBytes + cost)
	g.bytes += int64(n.fixed)
	var place int
	if k := len(g.free); k > 0 {
		place = int(g.free[k-1])
		g.free = g.free[:k-1]
	} else {
		if place = g.places; place/pageLen >= len(g.pages) {
			g.pages = append(g.pages, make([]Node, pageLen))
		}
		g.places++
	}
	slot := g.at(place)
	n.gen = slot.gen + 1
	*slot = n
	id := NodeID(n.gen)<<32 | NodeID(place)
	g.byKey[n.Key] = id
	return id
}

// grew counts what a node holds more than before.
func (g *Graph) grew(n *Node, bytes int) {
	n.fixed += int32(bytes)
	g.bytes += int64(bytes)
}

// touch moves a node's time forward.
func (g *Graph) touch(id NodeID, t int64) {
	if n := g.Node(id); n != nil && t > n.Last {
		n.Last = t
	}
}

// wordsKept bounds the shared names; a full table begins anew.
const wordsKept = 1 << 15

// word gives one string for all nodes that hold an equal one: a decoded event has a
// copy of its own of every name, and program names repeat a thousandfold.
func (g *Graph) word(s string) string {
	if s == "" {
		return ""
	}
	if w, ok := g.words[s]; ok {
		return w
	}
	if len(g.words) >= wordsKept {
		clear(g.words)
	}
	g.words[s] = s
	return s
}
