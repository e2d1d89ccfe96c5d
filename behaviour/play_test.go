// SPDX-License-Identifier: Apache-2.0

package behaviour_test

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/decide"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// The language of testdata/*.txt. A line is HOST SECONDS VERB ARGUMENTS [name=value…]
// [-- argv…]; "." for HOST or SECONDS repeats the line before, +S adds to it. A process
// is PID, PID/TID or PID/TID@GOROUTINE; a flow is CLIENT:PORT>SERVER:PORT.
//
//	snapshot P EXE [parent=P]        ran before the sensor; -- argv
//	fork P P, exec P EXE [stdin=FLOW|listen|pipe|tty] [uid=N], exit P
//	run P P EXE …                    fork and exec in one
//	accept P FLOW, connect P FLOW, close P FLOW [in=1], syn FLOW, fin FLOW, nat FLOW FLOW
//	wire M URI FLOW                  a request on the wire; n=ordinal up=file words=a,b
//	read P M URI FLOW                a request read from a socket; c=cookie ch=unix-socket
//	fcgi P M URI FLOW script=PATH    as FastCGI parameters
//	answer P STATUS M URI FLOW       its answer
//	pair P inode inode peer=P        both ends of a unix socket
//	write, save, unlink, readfile, script P PATH; move P PATH PATH   save: seen by the file sensor
//	ssh USER FLOW pid=P              log-in told by the log; su USER pid=P
//	verdict LAYER.STAGE COLOUR SCORE PATH|ADDR -- title     told=SECONDS: up to when the kernel sensor had told all; a file layer asks, so now
//	loss SENSOR COUNT                half a second to each side
//	except [rule= stage= host= exe= path= source=]
//	trace process P | file PATH | flow FLOW | request M URI FLOW     a question, asked at the end
//	effects … the same                                               what came of it
type play struct {
	events  []*event.Event
	asks    []ask
	excepts []*decide.Exception

	host   string
	at     float64
	starts map[string]uint64 // host/pid → start of the life
	seq    map[string]uint64
	inodes map[string]uint64
}

type ask struct {
	text    string
	forward bool
	at      *event.Event // host and time
	what    *entity.Sighting
}

const epochStart = int64(1_700_000_000e9)

type line struct {
	verb string
	args []string
	opts map[string]string
	argv []string
}

func (l *line) arg(i int) string {
	if i < len(l.args) {
		return l.args[i]
	}
	panic(fmt.Sprintf("%s: argument %d is missing", l.verb, i+1))
}

func (l *line) num(name string) uint64 {
	n, err := strconv.ParseUint(l.opts[name], 10, 64)
	if err != nil && l.opts[name] != "" {
		panic(fmt.Sprintf("%s=%s: %v", name, l.opts[name], err))
	}
	return n
}

func parsePlay(text string) (p *play, err error) {
	p = &play{starts: map[string]uint64{}, seq: map[string]uint64{}, inodes: map[string]uint64{}}
	for i, raw := range strings.Split(text, "\n") {
		if raw = strings.TrimSpace(raw); raw == "" || raw[0] == '#' {
			continue
		}
		if err := p.line(raw); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", i+1, raw, err)
		}
	}
	return p, nil
}

func (p *play) line(raw string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	words := split(raw)
	if words[0] != "." {
		p.host = words[0]
	}
	switch w := words[1]; {
	case w == ".":
	case w[0] == '+':
		p.at += float(w[1:])
	default:
		p.at = float(w)
	}
	l := &line{verb: words[2], opts: map[string]string{}}
	for i, w := range words[3:] {
		if w == "--" {
			l.argv = words[3+i+1:]
			break
		}
		if k, v, ok := strings.Cut(w, "="); ok && !strings.ContainsAny(k, "/?>") {
			l.opts[k] = v
			continue
		}
		l.args = append(l.args, w)
	}
	return p.act(l)
}

func float(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(err)
	}
	return f
}

// split cuts at spaces, but not inside single quotes.
func split(s string) []string {
	var out []string
	var word strings.Builder
	quoted, open := false, false
	for _, c := range s {
		switch {
		case c == '\'':
			quoted, open = !quoted, true
		case c == ' ' && !quoted:
			if open {
				out = append(out, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(c)
			open = true
		}
	}
	if open {
		out = append(out, word.String())
	}
	return out
}

func (p *play) boot() uint64 { return uint64(p.at * 1e9) }

// emit gives the event time and identity.
func (p *play) emit(sensor event.Sensor, actor *entity.Process, ev *event.Event) {
	p.seq[p.host]++
	ev.Tenant, ev.Host, ev.BootId, ev.Epoch, ev.Seq = "default", p.host, "boot-"+p.host, 2, p.seq[p.host]
	ev.BootNs, ev.WallNs, ev.Sensor, ev.Actor, ev.Schema = p.boot(), epochStart+int64(p.boot()), sensor, actor, event.Schema
	ev.Arrival = uint64(len(p.events) + 1)
	ev.Classify()
	p.events = append(p.events, ev)
}

// life is the process as the kernel tells it: with its start time.
func (p *play) life(ref string) *entity.Process {
	pid, rest, _ := strings.Cut(ref, "/")
	tid, gor, _ := strings.Cut(rest, "@")
	out := &entity.Process{Pid: uint32(mustUint(pid)), Tid: uint32(mustUint(pid))}
	if tid != "" {
		out.Tid = uint32(mustUint(tid))
	}
	if gor != "" {
		out.Goroutine = mustUint(gor)
	}
	key := p.host + "/" + pid
	if p.starts[key] == 0 {
		p.starts[key] = 1 + uint64(out.Pid)*1000 // before everything
	}
	out.StartNs = p.starts[key]
	return out
}

func mustUint(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (p *play) flow(s string, end string, cookie uint64) *entity.Flow {
	a, b, ok := strings.Cut(s, ">")
	if !ok {
		panic(s + " is no flow")
	}
	f := entity.NewFlow(netip.MustParseAddrPort(a), netip.MustParseAddrPort(b), 6)
	f.Netns = hash(p.host)
	if f.Cookie = cookie; cookie == 0 && end != "" {
		f.Cookie = hash(p.host + end + s)
	}
	return f
}

func hash(s string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return uint64(h.Sum32())
}

func (p *play) file(path string, l *line) *entity.File {
	key := p.host + ":" + path
	if n := l.num("ino"); n != 0 {
		p.inodes[key] = n
	}
	if p.inodes[key] == 0 {
		p.inodes[key] = uint64(len(p.inodes) + 100)
	}
	return &entity.File{Path: path, Fs: 40, Inode: p.inodes[key], Nlink: 1}
}
