// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"path"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/behaviour/sigma"
	"github.com/ringwall/ringwall/behaviour/trace"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/graph"
)

// fields shows one event, with its neighbourhood in the graph, to Sigma rules. Which
// field each log source fills is declared in sigma.Sensors.
type fields struct {
	g     *graph.Graph
	ev    *event.Event
	fact  graph.Fact
	audit bool // an exec, shown as auditd's EXECVE record
}

var processSources = map[event.ProcessActivity_Op]string{
	event.ProcessActivity_EXEC: "process_creation", event.ProcessActivity_PTRACE: "process_access",
}

var fileSources = map[event.FileActivity_Op]string{
	event.FileActivity_OPEN_WRITE: "file_event", event.FileActivity_RENAME: "file_event",
	event.FileActivity_LINK: "file_event", event.FileActivity_READ: "file_access",
	event.FileActivity_UNLINK: "file_delete", event.FileActivity_CLOSE_WRITE: "file_event",
}

// LogSource names the event in Sigma's words.
func (f *fields) LogSource() sigma.LogSource {
	if f.audit {
		return sigma.LogSource{Product: "linux", Service: "auditd"}
	}
	switch p := f.ev.Payload.(type) {
	case *event.Event_Process:
		return linux(processSources[p.Process.Op])
	case *event.Event_File:
		return linux(fileSources[p.File.Op])
	case *event.Event_Network:
		if p.Network.Op == event.NetworkActivity_CONNECT || p.Network.Op == event.NetworkActivity_ACCEPT {
			return sigma.LogSource{Category: "network_connection", Product: "linux"}
		}
	case *event.Event_Http:
		if p.Http.Op == event.HttpActivity_REQUEST {
			return sigma.LogSource{Category: "webserver"}
		}
	case *event.Event_Dns:
		return sigma.LogSource{Category: "dns"}
	case *event.Event_Log:
		if !linuxServices[p.Log.Unit] {
			return sigma.LogSource{Category: "application", Service: p.Log.Unit} // no line of the system itself
		}
		return sigma.LogSource{Product: "linux", Service: p.Log.Unit}
	}
	return sigma.LogSource{}
}

// linuxServices are the units whose lines the system's own rules are for. Other
// programs' lines hold what strangers sent them, and would match by that.
var linuxServices = map[string]bool{"syslog": true, "sshd": true, "auth": true, "sudo": true, "su": true, "cron": true, "vsftpd": true, "clamav": true, "guacamole": true, "auditd": true}

// linux names a category of Linux events; no category is no log source, or the
// rules that name only the product would search it.
func linux(category string) sigma.LogSource {
	if category == "" {
		return sigma.LogSource{}
	}
	return sigma.LogSource{Category: category, Product: "linux"}
}

// Keywords is the raw log line.
func (f *fields) Keywords() string {
	switch p := f.ev.Payload.(type) {
	case *event.Event_Log:
		return p.Log.Line
	case *event.Event_Process:
		return "" // also as an audit record: it is no line
	case *event.Event_Http:
		return p.Http.Request.GetUri() + " " + p.Http.UserAgent
	}
	return ""
}

func some(s string) (string, bool) { return s, s != "" }

func number[T uint32 | uint64 | int32](n T) (string, bool) {
	return strconv.FormatUint(uint64(n), 10), true
}

// Field gives one Sigma field.
func (f *fields) Field(name string) (string, bool) {
	switch p := f.ev.Payload.(type) {
	case *event.Event_Process:
		if f.audit {
			return f.execve(p.Process, name)
		}
		if p.Process.Op == event.ProcessActivity_PTRACE {
			return f.ptrace(name)
		}
		switch name {
		case "StdinKind":
			return fdKind(p.Process.Fds, 0)
		case "StdoutKind":
			return fdKind(p.Process.Fds, 1)
		case "ImageUnlinked":
			return strconv.FormatBool(p.Process.Image != nil && p.Process.Image.Nlink == 0), true
		}
	case *event.Event_File:
		if name == "TargetFilename" {
			if p.File.NewPath != "" {
				return p.File.NewPath, true
			}
			return some(p.File.File.GetPath())
		}
	case *event.Event_Network:
		if v, ok := networkField(p.Network, name); ok {
			return v, ok
		}
	case *event.Event_Http:
		return httpField(p.Http, name)
	case *event.Event_Dns:
		switch name {
		case "query":
			return some(p.Dns.Name)
		case "record_type":
			return some(p.Dns.Type)
		case "answer":
			return some(strings.Join(p.Dns.Answers, " "))
		}
		return "", false
	}
	return f.actor(name)
}

// actor gives the fields of the acting process and its ancestors.
func (f *fields) actor(name string) (string, bool) {
	n := f.g.Node(f.fact.Actor)
	if n == nil || n.Process == nil {
		return "", false
	}
	p := n.Process
	switch name {
	case "Image":
		return some(p.Exe)
	case "CommandLine":
		return some(strings.Join(p.Argv, " "))
	case "CurrentDirectory":
		return some(p.CWD)
	case "User":
		return userName(p.Ref.Uid), true
	case "ProcessId":
		return number(p.Ref.Pid)
	case "Ancestors":
		return some(ancestors(f.g, p.Parent))
	case "Convicted":
		return strconv.FormatBool(trace.Convicted(f.g, f.fact.Actor)), true
	}
	parent := f.g.Node(p.Parent)
	if parent == nil || parent.Process == nil {
		return "", false
	}
	switch name {
	case "ParentImage":
		return some(parent.Process.Exe)
	case "ParentCommandLine":
		return some(strings.Join(parent.Process.Argv, " "))
	case "ParentUser":
		return userName(parent.Process.Ref.Uid), true
	case "ParentProcessId":
		return number(parent.Process.Ref.Pid)
	}
	return "", false
}

func (f *fields) ptrace(name string) (string, bool) {
	side, of := f.fact.Actor, strings.TrimPrefix(name, "Source")
	if strings.HasPrefix(name, "Target") {
		side, of = f.fact.Object, strings.TrimPrefix(name, "Target")
	}
	g := *f
	g.fact.Actor = side
	return g.actor(of)
}

// ancestorsKept is how far up "Ancestors" looks; login shells sit 4 to 6 deep.
const ancestorsKept = 8

func ancestors(g *graph.Graph, id graph.NodeID) string {
	var names []string
	for range ancestorsKept {
		n := g.Node(id)
		if n == nil || n.Process == nil {
			break
		}
		names = append(names, n.Process.Exe)
		id = n.Process.Parent
	}
	return strings.Join(names, " ")
}

// execve gives the fields of an audit record of type EXECVE.
func (f *fields) execve(p *event.ProcessActivity, name string) (string, bool) {
	switch name {
	case "type":
		return "EXECVE", true
	case "exe":
		return f.actor("Image")
	case "comm":
		return some(f.ev.Actor.GetComm())
	}
	if len(name) == 2 && name[0] == 'a' {
		if i := int(name[1] - '0'); i >= 0 && i <= 9 && i < len(p.Argv) {
			return p.Argv[i], true
		}
	}
	return "", false
}

// fdKinds are the words for descriptors. A socket is one only with a peer: workers
// get the listening socket of their supervisor handed down, which is "listener".
var fdKinds = map[event.Descriptor_Type]string{
	event.Descriptor_FILE: "file", event.Descriptor_PIPE: "pipe", event.Descriptor_TTY: "tty",
	event.Descriptor_NULL: "null", event.Descriptor_UNIX: "unix", event.Descriptor_SOCKET: "listener",
}

func fdKind(fds []*event.Descriptor, i int) (string, bool) {
	switch {
	case i >= len(fds):
		return "", false
	case graph.HasPeer(fds[i]):
		return "socket", true
	case fds[i].Type == event.Descriptor_SOCKET && fds[i].Flow == nil:
		return "other", true // netlink and the like
	case fdKinds[fds[i].Type] == "":
		return "other", true
	}
	return fdKinds[fds[i].Type], true
}

func networkField(n *event.NetworkActivity, name string) (string, bool) {
	switch name {
	case "DestinationIp":
		return some(n.Flow.Dst().Addr().String())
	case "DestinationPort":
		return number(n.Flow.GetDstPort())
	case "SourceIp":
		return some(n.Flow.Src().Addr().String())
	case "SourcePort":
		return number(n.Flow.GetSrcPort())
	case "Initiated":
		return strconv.FormatBool(!n.Inbound), true
	case "Protocol":
		return map[uint32]string{6: "tcp", 17: "udp"}[n.Flow.GetProto()], true
	}
	return "", false
}

func httpField(a *event.HttpActivity, name string) (string, bool) {
	uri := a.Request.GetUri()
	stem, query, _ := strings.Cut(uri, "?")
	switch name {
	case "cs-method":
		return some(a.Request.GetMethod())
	case "c-uri", "cs-uri":
		return some(uri)
	case "cs-uri-stem":
		return some(stem)
	case "cs-uri-query", "c-uri-query":
		return some(query)
	case "c-uri-extension":
		return some(strings.TrimPrefix(path.Ext(stem), "."))
	case "sc-status":
		if a.Status == 0 {
			return "", false
		}
		return number(a.Status)
	case "c-useragent", "cs-user-agent":
		return some(a.UserAgent)
	case "cs-host":
		return some(a.Request.GetHost())
	case "c-ip", "src_ip":
		return some(a.Request.GetFlow().Src().Addr().String())
	case "cs-referer":
		for _, h := range a.Headers {
			if strings.EqualFold(h.Name, "referer") {
				return some(h.Value)
			}
		}
	}
	return "", false
}

// userName asks the machine the brain runs on only for root, whose number is the
// same everywhere; all other names differ from host to host.
func userName(uid uint32) string {
	if uid == 0 {
		return "root"
	}
	return strconv.FormatUint(uint64(uid), 10)
}
