// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// NodeID names a node of one Graph: its place and the generation of that place, so an
// id kept beyond the node's eviction finds nothing instead of a stranger. 0 is no node.
type NodeID uint64

func (id NodeID) place() int { return int(uint32(id)) }

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
	Held                          // flow → process: the connection it was given as standard input
)

var edgeNames = [...]string{"", "forked", "ran", "read", "wrote", "accepted", "connected", "carried", "served", "opened", "logged in", "began", "executed", "traced", "held"}

// String names the deed.
func (t EdgeType) String() string { return edgeNames[t] }

// Edge is one deed as seen from one of its ends. The peer may have been evicted since:
// Graph.Node(Peer) is nil then.
type Edge struct {
	Peer NodeID
	T    int64  // steady ns of the first time
	Last int64  // of the last time; repeated deeds collapse
	G    uint64 // goroutine that did it, where known
	By   Ref    // event of the first time
	N    uint32
	TID  uint32 // thread that did it, where known
	Type EdgeType
}

// Ref names the event a fact rests on; Graph.EventID spells it out.
type Ref struct {
	Host  uint32
	epoch uint32 // index into the graph's epochs
	Seq   uint64
}

// Node is one entity.
type Node struct {
	Key     entity.Key
	First   int64 // steady ns
	Last    int64
	In      []Edge
	Out     []Edge
	Process *Process // PROCESS
	File    *File    // FILE
	Flow    *Flow    // FLOW
	Request *Request // REQUEST
	Text    string   // address, domain, user, login…
	Kind    entity.Kind
	Host    uint32 // index into the hosts; 0 for global kinds
	Tainted bool   // something convicted it, see Graph.Taint

	fixed int32  // bytes beside the edges
	gen   uint32 // of its place
}

// ProcessRef is the key of a process life and what describes it.
type ProcessRef struct {
	StartNs   uint64
	Comm      string
	Cgroup    uint64
	Container string
	Pid       uint32
	Uid       uint32
}

// Process is what is known of one process life.
type Process struct {
	Ref      ProcessRef
	Exe      string
	Argv     []string // of the last exec, or the parent's until then
	CWD      string
	Parent   NodeID
	Exited   int64 // steady ns, 0 while alive
	Service  *Service
	Execs    uint32
	Snapshot bool // was running when the sensor started

	argvBytes int32 // of argv that is its own
}

// File is what is known of one inode.
type File struct {
	Ref    *entity.File
	Paths  []string // every name it had, oldest first, bounded
	Writer NodeID   // last process that wrote it
	Wrote  int64    // when
	inodes []inode  // under which it is indexed: overlayfs shows two numbers for one file
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
	other    tuple // beyond a translation
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
	// Operators are the parameter values that contain what a shell reads as more than a
	// word (;|&`$<> and line ends), at most 8.
	Operators []string
	UA        string
	Via       NodeID // process of ours that passed it on over a unix socket; 0 where it came by a flow
	Answered  int64  // steady ns, 0 while in flight
	told      []telling
}

// telling is one sensor's sighting of a request.
type telling struct {
	host    uint32
	seen    event.HttpActivity_Seen
	ordinal uint32
	conn    uint64
}

// Seen tells whether a sensor of that kind saw the request, on any host.
func (r *Request) Seen(s event.HttpActivity_Seen) bool {
	return slices.ContainsFunc(r.told, func(t telling) bool { return t.seen == s })
}
