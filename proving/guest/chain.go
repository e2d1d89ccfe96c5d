// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ringwall/ringwall/event"
)

// OutPort is where a deed connects to, on the guest's loopback.
const OutPort = 8079

// Deed is the shell line of a request: it writes a file named after the marker (a shell
// word) and opens a connection.
func Deed(marker string) string {
	return fmt.Sprintf("echo done > /tmp/%s; busybox nc 127.0.0.1 %d </dev/null >/dev/null", marker, OutPort)
}

// Chain is one request traced to the deed behind it, by process keys alone.
type Chain struct {
	Accept, Request, Fork, Exec, Write, Connect, Response *event.Event
	Goroutine                                             bool // request and fork name the same goroutine
}

type life struct {
	pid   uint32
	start uint64
}

func by(e *event.Event) life { return life{e.GetActor().GetPid(), e.GetActor().GetStartNs()} }

type events []*event.Event

func (es events) find(fits func(*event.Event) bool) *event.Event {
	if i := slices.IndexFunc(es, fits); i >= 0 {
		return es[i]
	}
	return nil
}

// climb follows forks from a process up to one of its ancestors and gives the topmost.
func (es events) climb(from, to life) (*event.Event, error) {
	at := from
	for range es { // more steps than events would be a circle
		f := es.find(func(e *event.Event) bool {
			t := e.GetProcess().GetTarget()
			return e.GetProcess().GetOp() == event.ProcessActivity_FORK && life{t.GetPid(), t.GetStartNs()} == at
		})
		if f == nil {
			return nil, fmt.Errorf("no fork leads from %v to %v: none made %v", to, from, at)
		}
		if at = by(f); at == to {
			return f, nil
		}
	}
	return nil, fmt.Errorf("the forks above %v go round in a circle", from)
}

// Trace finds the chain of the deed that carries the marker. The error names the link
// that is missing.
func Trace(lines []json.RawMessage, marker string) (*Chain, error) {
	var es events
	for i, l := range lines {
		e := &event.Event{}
		if err := protojson.Unmarshal(l, e); err != nil {
			return nil, fmt.Errorf("event %d of %s: %w", i, marker, err)
		}
		es = append(es, e)
	}
	c := &Chain{}
	c.Write = es.find(func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_OPEN_WRITE && e.GetFile().GetFile().GetPath() == "/tmp/"+marker
	})
	if c.Write == nil {
		return c, errors.New("no write of /tmp/" + marker)
	}
	writer := by(c.Write)
	c.Exec = es.find(func(e *event.Event) bool {
		return e.GetProcess().GetOp() == event.ProcessActivity_EXEC && by(e) == writer
	})
	if c.Exec == nil {
		return c, fmt.Errorf("no exec of the writer %v", writer)
	}
	c.Request = es.find(func(e *event.Event) bool {
		return e.GetHttp().GetOp() == event.HttpActivity_REQUEST && strings.Contains(e.GetHttp().GetRequest().GetUri(), marker) && e.GetHttp().GetSeen() == event.HttpActivity_SOCKET
	})
	if c.Request == nil {
		return c, errors.New("no request that names " + marker)
	}
	var err error
	if c.Fork, err = es.climb(writer, by(c.Request)); err != nil {
		return c, err
	}
	c.Goroutine = c.Request.GetActor().GetGoroutine() != 0 && c.Request.GetActor().GetGoroutine() == c.Fork.GetActor().GetGoroutine()
	c.Connect = es.find(func(e *event.Event) bool {
		n := e.GetNetwork()
		if n.GetOp() != event.NetworkActivity_CONNECT || n.GetInbound() || n.GetFailed() || n.GetFlow().GetDstPort() != OutPort {
			return false
		}
		_, err := es.climb(by(e), writer)
		return err == nil || by(e) == writer
	})
	flow := c.Request.GetHttp().GetRequest().GetFlow()
	c.Accept = es.find(func(e *event.Event) bool {
		n := e.GetNetwork()
		return n.GetOp() == event.NetworkActivity_ACCEPT && n.GetInbound() && n.GetFlow().GetSrcPort() == flow.GetSrcPort() && n.GetFlow().GetDstPort() == flow.GetDstPort()
	})
	c.Response = es.find(func(e *event.Event) bool {
		h := e.GetHttp()
		return h.GetOp() == event.HttpActivity_RESPONSE && h.GetStatus() == 200 && h.GetRequest().GetUri() == c.Request.GetHttp().GetRequest().GetUri()
	})
	return c, c.order()
}

// order tells of a missing link, and of an effect before its cause.
func (c *Chain) order() error {
	names := []string{"accept", "request", "fork", "exec", "write", "connect", "response with status 200"}
	last := uint64(0)
	for i, e := range []*event.Event{c.Accept, c.Request, c.Fork, c.Exec, c.Write, c.Connect, c.Response} {
		if e == nil {
			return fmt.Errorf("no %s", names[i])
		}
		if e.BootNs < last {
			return fmt.Errorf("%s came before %s", names[i], names[i-1])
		}
		last = e.BootNs
	}
	return nil
}
