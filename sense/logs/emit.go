// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"hash/fnv"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

// fresh: the time of a line that says no more than the second is replaced by the time of
// its reading as long as both agree this well.
const fresh = 2 * time.Second

// clean makes valid UTF-8 of whatever a program wrote.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// line tells what one line of a file says.
func (s *Sensor) line(src Source, file, text string) {
	text = strings.TrimRight(clean(text), "\r\n")
	if strings.TrimSpace(text) == "" || text[0] == '#' {
		s.filtered.Add(1)
		return
	}
	now := time.Now()
	switch src.Kind {
	case "access":
		if a, at, ok := parseAccess(text); ok {
			s.access(src, file, a, s.when(at, now))
			return
		}
		s.record(file, src.Unit, text, s.when(time.Time{}, now), 0, nil)
	case "audit":
		s.audit(file, text, now)
	case "syslog":
		s.message(parseSyslog(text, now), file, now)
	default:
		w := parseWebError(src.Unit, text, now.Location())
		flow, _ := s.flowOf(w.Client)
		s.record(file, src.Unit, text, s.when(w.At, now), w.Pid, flow)
	}
}

// audit tells one record of the audit system. Only the record of the system call names
// the process; those that belong to it have its serial number.
func (s *Sensor) audit(source, text string, now time.Time) {
	serial, pid := auditProcess(text)
	s.mu.Lock()
	if pid != 0 {
		s.audited.serial, s.audited.pid = serial, pid
	} else if serial != "" && serial == s.audited.serial {
		pid = s.audited.pid
	}
	s.mu.Unlock()
	line, date := parseAudit(text, s.opt.Redact)
	at := s.when(date, now)
	s.tell(source, "log", &event.Event{Actor: s.actor(pid, at), Payload: &event.Event_Log{Log: &event.LogRecord{Source: source, Unit: "auditd", Line: line}}}, at)
}

// when chooses the boot time of a fact that a line dates. A line of the future, and a
// line without a date, is of now.
func (s *Sensor) when(at, now time.Time) stamp {
	if at.IsZero() || now.Sub(at) < fresh {
		return stamp{event.BootNow(), 0}
	}
	return stamp{s.opt.Clock.Boot(at.UnixNano()), at.UnixNano()}
}

// stamp is a boot time, and the wall time of a line from before this boot.
type stamp struct {
	boot uint64
	wall int64
}

func (st stamp) fresh() bool { return st.wall == 0 }

// message tells what a syslog message says, wherever it came from.
func (s *Sensor) message(m message, source string, now time.Time) {
	at := s.when(m.At, now)
	s.mu.Lock()
	twin := s.cfg.Journal && s.twins.known(m, source)
	s.mu.Unlock()
	if twin {
		s.filtered.Add(1)
		return
	}
	unit := unitOf(m.Tag)
	facts, keep := s.authFacts(m, unit)
	for _, a := range facts {
		s.auth(source, a, at, m.Pid)
	}
	if keep {
		s.record(source, unit, m.Text, at, m.Pid, nil)
	}
}

// authFacts asks the parsers of programs that decide on logins; keep says whether the
// line itself is worth telling.
func (s *Sensor) authFacts(m message, unit string) (facts []login, keep bool) {
	if m.Forged {
		return nil, true
	}
	text, times := unfold(m.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch unit {
	case "sshd":
		facts, keep = s.logins.sshd(m.Pid, text)
	case "su":
		facts, keep = parseSu(text)
	case "sudo":
		facts, keep = parseSudo(text)
	case "login", "vsftpd", "gdm", "lightdm", "polkit":
		facts, keep = parsePam(text)
	default:
		return nil, true
	}
	if len(facts) == 1 {
		for len(facts) < times {
			facts = append(facts, facts[0])
		}
	}
	return facts, keep
}

// login is what a log says of one attempt.
type login struct {
	Outcome event.Authentication_Outcome
	User    string
	Known   bool // the host knows the user: the name is no mistyped password
	Service string
	Method  string
	Server  netip.AddrPort // where the log tells it
	// Readings are whom the line can be read to name; more than one where the client
	// chose a name or an identity that looks like the end of the line.
	Readings []reading
}

type reading struct {
	Client    netip.AddrPort
	User, Key string
}

// auth tells one attempt. Its flow joins to the connection's by the tuple; without a
// destination the graph has to join it by the client's address and port at that time.
func (s *Sensor) auth(source string, l login, at stamp, pid uint32) {
	a := &event.Authentication{Outcome: l.Outcome, Service: l.Service, Method: clean(l.Method)}
	r, flow := s.believe(l)
	switch {
	case r != nil:
		l.User = r.User
		a.KeyFingerprint, a.Flow = clean(r.Key), flow
	case len(l.Readings) > 1:
		l.User = l.Readings[0].User
	}
	a.User = s.user(l)
	s.tell(source, "auth", &event.Event{Actor: s.actor(pid, at), Payload: &event.Event_Auth{Auth: a}}, at)
}

// user hides what looks like a password typed where the name belongs: a name that the
// host does not know and that useradd would refuse.
func (s *Sensor) user(l login) string {
	if l.Known || plainName(l.User) {
		return clean(s.opt.Redact.Text(l.User))
	}
	return s.opt.Redact.Hash(clean(l.User))
}

func plainName(u string) bool {
	if u == "" || len(u) > 32 {
		return u == ""
	}
	for i := range len(u) {
		switch c := u[i]; {
		case 'a' <= c && c <= 'z', c == '_', i > 0 && (c == '-' || c == '.' || '0' <= c && c <= '9'):
		default:
			return false
		}
	}
	return true
}

// believe chooses the reading and names its connection. Of several readings only one
// that the kernel confirms is believed.
func (s *Sensor) believe(l login) (*reading, *entity.Flow) {
	if len(l.Readings) == 1 {
		r := &l.Readings[0]
		if l.Server.IsValid() {
			return r, entity.NewFlow(r.Client, l.Server, tcp)
		}
		flow, _ := s.flowOf(r.Client)
		return r, flow
	}
	var chosen *reading
	var whole *entity.Flow
	for i := range l.Readings {
		r := &l.Readings[i]
		flow, known := s.flowOf(r.Client)
		if !known {
			continue
		}
		if chosen != nil {
			return nil, nil // both exist: still not known which
		}
		chosen, whole = r, flow
	}
	return chosen, whole
}

const tcp = 6

// flowOf names the connection of a client, and tells whether the kernel knows it: then it
// is whole.
func (s *Sensor) flowOf(client netip.AddrPort) (f *entity.Flow, known bool) {
	if !client.IsValid() {
		return nil, false
	}
	if client.Port() != 0 && s.opt.Local != nil {
		if at, ns, ok := s.opt.Local(client); ok {
			f = entity.NewFlow(client, at, tcp)
			f.Netns = ns
			return f, true
		}
	}
	return &entity.Flow{SrcIp: entity.AddrBytes(client.Addr()), SrcPort: uint32(client.Port()), Proto: tcp}, false
}

// actor is the process that a fresh line names, where pids of the log are pids of this
// machine.
func (s *Sensor) actor(pid uint32, at stamp) *entity.Process {
	if pid == 0 || s.opt.Root != "" || !at.fresh() {
		return nil
	}
	return &entity.Process{Pid: pid}
}

// record tells a line as it is, secrets replaced.
func (s *Sensor) record(source, unit, text string, at stamp, pid uint32, about *entity.Flow) {
	ev := &event.Event{Actor: s.actor(pid, at), Payload: &event.Event_Log{Log: &event.LogRecord{Source: source, Unit: unit, Line: clean(s.redact(unit, text)), Flow: about}}}
	s.tell(source, "log", ev, at)
}

// redact replaces the secrets of a line of a unit.
func (s *Sensor) redact(unit, text string) string {
	switch unit {
	case "sshd":
		text = hideNames(text, s.opt.Redact.Hash)
	case "sudo": // PWD is a folder here, no password
		if head, rest, ok := strings.Cut(text, " ; PWD="); ok {
			return s.opt.Redact.Text(head) + " ; PWD=" + s.opt.Redact.Text(rest)
		}
	}
	return s.opt.Redact.Text(text)
}

// access tells a request that a web server wrote down. The port of the client is not in
// the line, so the flow's source port is 0 and its destination empty.
func (s *Sensor) access(src Source, file string, a access, at stamp) {
	h := &event.HttpActivity{
		Op: event.HttpActivity_REQUEST, Seen: event.HttpActivity_LOG, Status: a.Status,
		UserAgent: clean(s.opt.Redact.Header("User-Agent", a.Agent)),
		Request:   &entity.Request{Method: a.Method, Uri: clean(s.opt.Redact.URI(a.Target)), Host: a.Host, Flow: &entity.Flow{Proto: 6}},
	}
	if a.Client.IsValid() {
		h.Request.Flow.SrcIp = entity.AddrBytes(a.Client)
	}
	if a.Referer != "" {
		h.Headers = []*event.Header{{Name: "Referer", Value: clean(s.opt.Redact.Header("Referer", a.Referer))}}
	}
	s.tell(file, "http", &event.Event{Payload: &event.Event_Http{Http: h}}, at)
}

// tell emits within the budget of source and class.
func (s *Sensor) tell(source, class string, ev *event.Event, at stamp) {
	s.mu.Lock()
	key := class + " " + source
	b := s.caps[key]
	if b == nil {
		b = &budget{}
		s.caps[key] = b
	}
	ok := b.allow(time.Now(), s.cfg.PerSecond)
	s.mu.Unlock()
	if !ok {
		s.capped.Add(1)
		return
	}
	ev.Sensor = event.Sensor_LOGS
	s.opt.Clock.Stamp(ev, at.boot)
	if at.boot == 0 {
		ev.WallNs = at.wall
	}
	s.seen.Add(1)
	s.opt.Emit(ev)
}

// twins remembers messages that one source told, so that the same message from another
// (rsyslog copies the journal) is told once. A message that one source repeats is told
// as often as that source repeats it.
type twins struct {
	now, old map[uint64]twin
}

type twin struct {
	told int
	by   map[string]int
}

// maxTwins per generation, about 200 bytes each: 3 MB.
const maxTwins = 8192

func (t *twins) known(m message, source string) bool {
	h := fnv.New64a()
	h.Write([]byte(m.Tag + "\x00" + strconv.Itoa(int(m.Pid)) + "\x00" + m.Text))
	key := h.Sum64()
	if len(t.now) >= maxTwins || t.now == nil {
		t.old, t.now = t.now, make(map[uint64]twin)
	}
	w, ok := t.now[key]
	if !ok {
		if w, ok = t.old[key]; !ok {
			w = twin{by: map[string]int{}}
		}
	}
	w.by[source]++
	fresh := w.by[source] > w.told
	if fresh {
		w.told++
	}
	t.now[key] = w
	return !fresh
}
