// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

func (p *play) act(l *line) error {
	switch l.verb {
	case "snapshot", "fork", "exec", "run", "exit", "ptrace":
		return p.process(l)
	case "accept", "connect", "close", "syn", "fin", "nat", "pair":
		return p.network(l)
	case "wire", "read", "fcgi", "answer", "log":
		return p.http(l)
	case "write", "save", "move", "unlink", "readfile", "script":
		return p.fileActivity(l)
	case "trace", "effects":
		return p.ask(l)
	}
	return p.told(l)
}

func (p *play) told(l *line) error {
	switch l.verb {
	case "ssh":
		p.emit(event.Sensor_LOGS, &entity.Process{Pid: uint32(l.num("pid"))}, &event.Event{Payload: &event.Event_Auth{Auth: &event.Authentication{
			Outcome: event.Authentication_SUCCESS, User: l.arg(0), Service: "sshd", Method: "password", Flow: p.flow(l.arg(1), "", 0)}}})
	case "su":
		p.emit(event.Sensor_LOGS, &entity.Process{Pid: uint32(l.num("pid"))}, &event.Event{Payload: &event.Event_Auth{Auth: &event.Authentication{
			Outcome: event.Authentication_SUCCESS, User: l.arg(0), Service: "su"}}})
	case "verdict":
		layer, stage, _ := strings.Cut(l.arg(0), ".")
		f := &verdict.Finding{Host: p.host, WallNs: epochStart + int64(p.boot()), Layer: layer, Stage: stage, Rule: stage + "-rule",
			Title: strings.Join(l.argv, " "), Score: float(l.arg(2)), Colour: verdict.Colour(verdict.Colour_value[strings.ToUpper(l.arg(1))])}
		if fl := l.opts["login"]; fl != "" {
			f.Subjects = []*entity.Sighting{{Kind: entity.Kind_LOGIN, Role: "object", Text: l.arg(3), Flow: p.flow(fl, "", 0)}}
		} else if a, err := netip.ParseAddr(l.arg(3)); err == nil {
			f.Subjects = []*entity.Sighting{{Kind: entity.Kind_ADDRESS, Role: "source", Text: a.String()}}
		} else {
			f.Subjects = []*entity.Sighting{{Kind: entity.Kind_FILE, Role: "object", File: p.file(l.arg(3), l)}}
		}
		f.Evidence = []*verdict.Evidence{{What: f.Title, Where: l.arg(3), Weight: float64(verdict.Odds(f.Score)), Engine: stage}}
		f.SetID()
		told := uint64(0)
		if layer == "file" { // its agent asks the kernel sensor first
			told = p.boot()
		}
		if at := l.opts["told"]; at != "" {
			told = uint64(float(at) * 1e9)
		}
		p.emit(event.Sensor_JUDGE, nil, &event.Event{ToldNs: told, Payload: &event.Event_Finding{Finding: f}})
	case "loss":
		now := epochStart + int64(p.boot())
		p.emit(event.Sensor_KERNEL, nil, &event.Event{Payload: &event.Event_Loss{Loss: &verdict.LossWindow{
			Sensor: l.arg(0), Class: "exec", FromNs: now - 5e8, ToNs: now + 5e8, Count: mustUint(l.arg(1)), Reason: "ring full"}}})
	case "except":
		o := l.opts
		p.excepts = append(p.excepts, &decide.Exception{ID: fmt.Sprint("x", len(p.excepts)+1), Reason: "a test", Owner: "ops", Expires: time.Unix(1<<32, 0),
			Scope: decide.Scope{Layer: o["layer"], Rule: o["rule"], Stage: o["stage"], Host: o["host"], Exe: o["exe"], Path: o["path"], Source: o["source"]}})
	default:
		return fmt.Errorf("unknown verb %q", l.verb)
	}
	return nil
}

func (p *play) process(l *line) error {
	proc := func(a *entity.Process, act *event.ProcessActivity) {
		p.emit(event.Sensor_KERNEL, a, &event.Event{Payload: &event.Event_Process{Process: act}})
	}
	switch l.verb {
	case "fork", "run":
		parent := p.life(l.arg(0))
		p.starts[p.host+"/"+l.arg(1)] = p.boot()
		proc(parent, &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: p.life(l.arg(1))})
		if l.verb == "run" {
			p.at += 0.0005
			l.args = l.args[1:]
			p.exec(l, event.ProcessActivity_EXEC, proc)
		}
	case "exec":
		p.exec(l, event.ProcessActivity_EXEC, proc)
	case "snapshot":
		p.exec(l, event.ProcessActivity_SNAPSHOT, proc)
	case "exit":
		proc(p.life(l.arg(0)), &event.ProcessActivity{Op: event.ProcessActivity_EXIT})
	case "ptrace":
		proc(p.life(l.arg(0)), &event.ProcessActivity{Op: event.ProcessActivity_PTRACE, Target: p.life(l.arg(1))})
	}
	return nil
}

func (p *play) exec(l *line, op event.ProcessActivity_Op, proc func(*entity.Process, *event.ProcessActivity)) {
	a, exe := p.life(l.arg(0)), l.arg(1)
	a.Exe, a.Comm, a.Uid = exe, exe[strings.LastIndexByte(exe, '/')+1:], uint32(l.num("uid"))
	argv := l.argv
	if argv == nil {
		argv = []string{a.Comm}
	}
	act := &event.ProcessActivity{Op: op, Argv: argv, Cwd: "/", Image: p.file(exe, &line{}), Fds: []*event.Descriptor{{Type: event.Descriptor_NULL}}}
	switch in := l.opts["stdin"]; {
	case in == "pipe":
		act.Fds[0].Type = event.Descriptor_PIPE
	case in == "tty":
		act.Fds[0].Type = event.Descriptor_TTY
	case in == "listen":
		act.Fds[0].Type = event.Descriptor_SOCKET
		act.Fds[0].Flow = entity.NewFlow(netip.MustParseAddrPort("0.0.0.0:80"), netip.MustParseAddrPort("0.0.0.0:0"), 6)
	case in != "":
		act.Fds[0].Type, act.Fds[0].Flow = event.Descriptor_SOCKET, p.flow(in, "client", 0)
	}
	if up := l.opts["parent"]; up != "" {
		act.Parent = p.life(up)
	}
	proc(a, act)
}

func (p *play) network(l *line) error {
	if l.verb == "pair" {
		p.emit(event.Sensor_KERNEL, p.life(l.arg(0)), &event.Event{Payload: &event.Event_Channel{Channel: &event.ChannelActivity{
			Op: event.ChannelActivity_UNIX_PAIR, InodeA: mustUint(l.arg(1)), InodeB: mustUint(l.arg(2)), PeerPid: uint32(l.num("peer"))}}})
		return nil
	}
	n := &event.NetworkActivity{}
	sensor, i := event.Sensor_KERNEL, 1
	var actor *entity.Process
	end := "client"
	switch l.verb {
	case "accept":
		n.Op, n.Inbound, end = event.NetworkActivity_ACCEPT, true, "server"
	case "connect":
		n.Op = event.NetworkActivity_CONNECT
	case "close":
		n.Op, n.Inbound = event.NetworkActivity_CLOSE, l.num("in") != 0
		if n.Inbound {
			end = "server"
		}
	case "syn":
		n.Op, sensor, i = event.NetworkActivity_FLOW_OPEN, event.Sensor_PACKET, 0
	case "fin":
		n.Op, sensor, i = event.NetworkActivity_FLOW_CLOSE, event.Sensor_PACKET, 0
	case "nat":
		n.Op, sensor, i = event.NetworkActivity_TRANSLATE, event.Sensor_PACKET, 0
		n.Translated = p.flow(l.arg(1), "", 0)
	}
	if sensor == event.Sensor_KERNEL {
		actor = p.life(l.arg(0))
		n.Flow = p.flow(l.arg(i), end, l.num("c"))
	} else {
		n.Flow = p.flow(l.arg(i), "", 0)
	}
	p.emit(sensor, actor, &event.Event{Payload: &event.Event_Network{Network: n}})
	return nil
}

func (p *play) http(l *line) error {
	a := &event.HttpActivity{Op: event.HttpActivity_REQUEST, Ordinal: uint32(l.num("n")), Script: l.opts["script"], Channel: l.num("ch"), Request: &entity.Request{}}
	sensor := event.Sensor_KERNEL
	var actor *entity.Process
	end := "server"
	switch l.verb {
	case "wire":
		a.Seen, sensor, end = event.HttpActivity_WIRE, event.Sensor_PACKET, ""
	case "log":
		a.Seen, sensor, end = event.HttpActivity_LOG, event.Sensor_LOGS, ""
	case "fcgi":
		a.Seen, end = event.HttpActivity_FASTCGI, ""
	case "answer":
		a.Op, a.Status, a.Seen = event.HttpActivity_RESPONSE, uint32(mustUint(l.arg(1))), event.HttpActivity_SOCKET
		if l.num("fcgi") != 0 {
			a.Seen, end = event.HttpActivity_FASTCGI, ""
		}
		l.args = append(l.args[:1], l.args[2:]...)
	default:
		a.Seen = event.HttpActivity_SOCKET
	}
	if sensor == event.Sensor_KERNEL {
		actor = p.life(l.arg(0))
		l.args = l.args[1:]
	}
	a.Request.Method, a.Request.Uri = l.arg(0), l.arg(1)
	if len(l.args) > 2 {
		a.Request.Flow = p.flow(l.arg(2), end, l.num("c"))
	}
	if up := l.opts["up"]; up != "" {
		a.Uploads = []*event.Upload{{Field: "f", Filename: up}}
	}
	if a.Op == event.HttpActivity_REQUEST && a.Seen != event.HttpActivity_LOG {
		a.Tokens = tokensOf(a.Request.Uri + " " + strings.ReplaceAll(l.opts["words"], ",", " ") + " " + l.opts["up"])
	}
	if _, query, ok := strings.Cut(a.Request.Uri, "?"); ok && a.Op == event.HttpActivity_REQUEST {
		for _, pair := range strings.Split(query, "&") {
			k, v, _ := strings.Cut(pair, "=")
			v, err := url.QueryUnescape(v)
			if err != nil {
				return err
			}
			a.Params = append(a.Params, &event.Param{Name: k, Value: v, In: "query"})
		}
	}
	p.emit(sensor, actor, &event.Event{Payload: &event.Event_Http{Http: a}})
	return nil
}

// tokensOf does what the sensors do: words of four and more characters.
func tokensOf(s string) []string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	var out []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r))
	}) {
		if len(w) >= 4 {
			out = append(out, w)
		}
	}
	return out
}

func (p *play) fileActivity(l *line) error {
	a := &event.FileActivity{}
	sensor := event.Sensor_KERNEL
	actor := p.life(l.arg(0))
	a.File = p.file(l.arg(1), l)
	switch l.verb {
	case "write":
		a.Op = event.FileActivity_OPEN_WRITE
	case "save":
		a.Op, sensor = event.FileActivity_CLOSE_WRITE, event.Sensor_FILES
		actor.StartNs, actor.Tid, actor.Goroutine = 0, 0, 0
	case "move":
		a.Op, a.NewPath = event.FileActivity_RENAME, l.arg(2)
		p.inodes[p.host+":"+l.arg(2)] = a.File.Inode
		delete(p.inodes, p.host+":"+l.arg(1))
	case "unlink":
		a.Op, a.File.Nlink = event.FileActivity_UNLINK, 0
		delete(p.inodes, p.host+":"+l.arg(1))
	case "readfile":
		a.Op = event.FileActivity_READ
	case "script":
		a.Op = event.FileActivity_SCRIPT
	}
	p.emit(sensor, actor, &event.Event{Payload: &event.Event_File{File: a}})
	return nil
}

func (p *play) ask(l *line) error {
	s := &entity.Sighting{Host: p.host}
	switch l.arg(0) {
	case "process":
		s.Kind, s.Process = entity.Kind_PROCESS, p.life(l.arg(1))
	case "file":
		s.Kind, s.File = entity.Kind_FILE, &entity.File{Path: l.arg(1)}
	case "flow":
		s.Kind, s.Flow = entity.Kind_FLOW, p.flow(l.arg(1), "", 0)
	case "request":
		s.Kind, s.Request = entity.Kind_REQUEST, &entity.Request{Method: l.arg(1), Uri: l.arg(2), Flow: p.flow(l.arg(3), "", 0)}
	default:
		return fmt.Errorf("no trace of a %q", l.arg(0))
	}
	at := &event.Event{Host: p.host, BootNs: p.boot(), WallNs: epochStart + int64(p.boot())}
	p.asks = append(p.asks, ask{forward: l.verb == "effects", text: l.verb + " " + p.host + " " + strings.Join(l.args, " "), at: at, what: s})
	return nil
}
