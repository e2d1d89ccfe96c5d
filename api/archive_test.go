// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/archive/query"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/verdict"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "archive-query" {
		os.Exit(query.Serve(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// told makes the events of a small estate: web1 with a shell in a terminal that talks to
// db1, packages that come and go, and a page that the file layer did not like.
type told struct {
	seq    map[string]uint64
	events map[string][]*event.Event
	now    time.Time
}

func (w *told) add(host string, ev *event.Event) *event.Event {
	w.seq[host]++
	ev.Tenant, ev.Host, ev.Epoch, ev.Seq, ev.Schema = "default", host, 2, w.seq[host], event.Schema
	if ev.WallNs == 0 {
		w.now = w.now.Add(time.Second)
		ev.WallNs = w.now.UnixNano()
	}
	ev.BootNs = uint64(ev.WallNs - 1e18)
	ev.Classify()
	w.events[host] = append(w.events[host], ev)
	return ev
}

func life(pid uint32, exe string) *entity.Process {
	return &entity.Process{Pid: pid, StartNs: uint64(pid) * 1000, Comm: filepath.Base(exe), Exe: exe, Uid: 33}
}

func (w *told) start(host string, parent, child *entity.Process, tty string, argv ...string) {
	w.add(host, &event.Event{Actor: parent, Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_FORK, Target: &entity.Process{Pid: child.Pid, StartNs: child.StartNs}}}})
	w.add(host, &event.Event{Actor: child, Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXEC, Parent: parent, Argv: argv, Cwd: "/root", Tty: tty}}})
}

func (w *told) state(host, component, state, reason string) {
	w.add(host, &event.Event{Payload: &event.Event_State{State: &event.SensorState{Component: component, State: state, Reason: reason}}})
}

func (w *told) has(host string, kind event.Inventory_Kind, gone bool, name, version, detail string, at netip.AddrPort) {
	inv := &event.Inventory{Kind: kind, Gone: gone, Name: name, Version: version, Detail: detail}
	if at.IsValid() {
		inv.Flow = &entity.Flow{DstIp: entity.AddrBytes(at.Addr()), DstPort: uint32(at.Port()), Proto: 6}
	}
	w.add(host, &event.Event{Payload: &event.Event_Inventory{Inventory: inv}})
}

func (w *told) talk(host string, op event.NetworkActivity_Op, inbound bool, src, dst string, actor *entity.Process) {
	f := entity.NewFlow(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), 6)
	w.add(host, &event.Event{Actor: actor, Payload: &event.Event_Network{Network: &event.NetworkActivity{Op: op, Flow: f, Inbound: inbound, BytesSrc: 100, BytesDst: 900}}})
}

func (w *told) store(t *testing.T, data string) {
	t.Helper()
	s, err := archive.Open(archive.Config{Dir: filepath.Join(data, "archive"), FlushEvery: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	arrival := uint64(0)
	for _, host := range []string{"web1", "db1"} {
		for _, ev := range w.events[host] {
			arrival++
			ev.Arrival = arrival
		}
		if err := s.Append(ctx, archive.Batch{Tenant: "default", Host: host, Epoch: 2, Events: w.events[host]}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func estate() *told {
	w := &told{seq: map[string]uint64{}, events: map[string][]*event.Event{}, now: time.Now().Add(-20 * time.Minute).Truncate(time.Second)}
	at := netip.MustParseAddrPort
	none := netip.AddrPort{}
	w.state("web1", "sensor.inventory", "on", "")
	w.has("web1", event.Inventory_PACKAGE, false, "left-before-restart", "1", "deb amd64", none)
	w.state("web1", "sensor.inventory", "off", "stopped")
	w.state("web1", "host", "on", "Linux 6.1.0 x86_64, Debian GNU/Linux 12")
	w.state("web1", "sensor.inventory", "on", "")
	w.state("web1", "sensor.kernel", "degraded", "no BTF")
	w.has("web1", event.Inventory_PACKAGE, false, "nginx", "1.22", "deb amd64", none)
	w.has("web1", event.Inventory_PACKAGE, false, "curl", "7", "deb amd64", none)
	w.has("web1", event.Inventory_PACKAGE, false, "nginx", "1.24", "deb amd64", none)
	w.has("web1", event.Inventory_PACKAGE, true, "curl", "7", "deb amd64", none)
	w.has("web1", event.Inventory_USER, false, "root", "", "uid=0", none)
	w.has("web1", event.Inventory_LISTENER, false, "tcp 10.0.0.1:80", "1.24", "exe=/usr/sbin/nginx package=nginx uid=0", at("10.0.0.1:80"))
	init, sshd, bash, psql := life(1, "/sbin/init"), life(10, "/usr/sbin/sshd"), life(20, "/bin/bash"), life(30, "/usr/bin/psql")
	w.start("web1", init, sshd, "", "/usr/sbin/sshd", "-D")
	w.start("web1", sshd, bash, "pts0", "-bash")
	w.start("web1", bash, psql, "pts0", "psql", "-h", "db1'; DROP TABLE")
	w.talk("web1", event.NetworkActivity_CONNECT, false, "10.0.0.1:4000", "10.0.0.2:5432", psql)
	w.talk("db1", event.NetworkActivity_ACCEPT, true, "10.0.0.1:4000", "10.0.0.2:5432", life(99, "/usr/lib/postgres"))
	w.talk("web1", event.NetworkActivity_FLOW_CLOSE, false, "10.0.0.1:4000", "10.0.0.2:5432", nil)
	w.talk("web1", event.NetworkActivity_CONNECT, false, "127.0.0.1:5", "127.0.0.1:6", bash)
	w.add("web1", &event.Event{Actor: psql, Payload: &event.Event_Process{Process: &event.ProcessActivity{Op: event.ProcessActivity_EXIT, ExitCode: 3}}})
	f := &verdict.Finding{
		Host: "web1", WallNs: w.now.UnixNano(), Layer: "file", Stage: "light", Rule: "light/php_shell", Title: "php_shell in x.php", Colour: verdict.Colour_BLACK, Score: 0.97,
		Subjects: []*entity.Sighting{{Kind: entity.Kind_FILE, Host: "web1", File: &entity.File{Path: "/var/www/it's/x.php", Sha256: strings.Repeat("ab", 32), Size: 77}}},
	}
	f.SetID()
	w.add("web1", &event.Event{Payload: &event.Event_Finding{Finding: f}})
	return w
}

// TestEstate: what the archive holds of hosts is what the API says of them.
func TestEstate(t *testing.T) {
	data := t.TempDir()
	estate().store(t, data)
	pool, err := query.New(query.Config{Root: filepath.Join(data, "archive")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := over(t, data, pool)
	root := access.Socket(os.Getuid())
	for _, c := range []struct{ target, want, not string }{
		{"/v1/hosts?sort=name&order=asc", `"name":"db1"`, "ringwall-brain"},
		{"/v1/hosts?q=debian", `"about":"Linux 6.1.0 x86_64, Debian GNU/Linux 12"`, `"name":"db1"`},
		{"/v1/hosts/web1", `"reason":"no BTF"`, ""},
		{"/v1/hosts?state=degraded", `"items":[]`, ""}, // it was last heard of twenty minutes ago
		{"/v1/hosts?state=silent", `"name":"web1"`, ""},
		{"/v1/hosts/web1/inventory?kind=package", `"version":"1.24"`, "left-before-restart"},
		{"/v1/hosts/web1/inventory?kind=package", `"items":[{"kind":"package","name":"nginx"`, "curl"},
		{"/v1/hosts/web1/inventory?kind=package&q=CURL", `"items":[]`, ""},
		{"/v1/hosts/web1/inventory?kind=user", `"detail":"uid=0"`, "nginx"},
		{"/v1/hosts/web1/inventory", `"target":"10.0.0.1:80"`, ""},
		{"/v1/hosts/o'brien/inventory", `"items":[]`, ""},
		{"/v1/connections?sort=count", `"peer":"10.0.0.2","peer_host":"db1","port":5432,"proto":6,"count":1,"bytes":1000`, "127.0.0.1"},
		{"/v1/connections?host=db1", `"host":"web1"`, ""},
		{"/v1/connections?host=db1&side=in", `"inbound":true`, `"inbound":false`},
		{"/v1/connections?q=psql", `"programs":["/usr/bin/psql"]`, "postgres"},
		{"/v1/connections?peers=other", `"items":[]`, ""},
		{"/v1/hosts/web1/processes?q=PSQL", `"argv":["psql","-h","db1'; DROP TABLE"]`, "sshd"},
		{"/v1/hosts/web1/processes?q=" + url.QueryEscape("db1'; drop"), `"pid":30`, ""},
		{"/v1/hosts/web1/processes?limit=1", `"next":"`, `"pid":20`},
		{"/v1/files", `"path":"/var/www/it's/x.php"`, ""},
		{"/v1/files?q=" + url.QueryEscape("it's"), `"score":0.97`, ""},
		{"/v1/files?q=" + strings.Repeat("ab", 32), `"colour":"black"`, ""},
		{"/v1/files?colour=grey", `"items":[]`, ""},
		{"/v1/hunts/schema", `"name":"events","raw":false`, "raw_edges"},
		{"/v1/hunts/schema", `"doc":"host that saw it"`, ""},
	} {
		w := do(s, root, "GET", c.target, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), c.want) || c.not != "" && strings.Contains(w.Body.String(), c.not) {
			t.Errorf("%s: %d %.600s; want %q and not %q", c.target, w.Code, w.Body, c.want, c.not)
		}
	}
	var tree ProcessTree
	w := do(s, root, "GET", "/v1/hosts/web1/processes/20-20000", "")
	if err := json.Unmarshal(w.Body.Bytes(), &tree); err != nil {
		t.Fatal(err, w.Body)
	}
	var lines []string
	for _, p := range tree.Items {
		code := "-"
		if p.ExitCode != nil {
			code = fmt.Sprint(*p.ExitCode)
		}
		lines = append(lines, fmt.Sprintf("%d %d %s %s %s %t", p.Depth, p.PID, p.TTY, strings.Join(p.Argv, " "), code, p.Asked))
	}
	if got, want := strings.Join(lines, "\n"), "0 10  /usr/sbin/sshd -D - false\n1 20 pts0 -bash - true\n2 30 pts0 psql -h db1'; DROP TABLE 3 false"; got != want {
		t.Errorf("tree:\n%s\nwant:\n%s", got, want)
	}
	if w := do(s, root, "GET", "/v1/hosts/web1/processes/77-1", ""); w.Code != 404 {
		t.Errorf("a process that never was: %d", w.Code)
	}
	if w := do(s, root, "GET", "/v1/hosts/web1/processes/nonsense", ""); w.Code != 400 {
		t.Errorf("no process at all: %d %s", w.Code, w.Body)
	}
	rawContent(t, s)
	backtests(t, s)
}

// rawContent: events whole are for those who may, and it stands in the audit chain.
func rawContent(t *testing.T, s *Server) {
	t.Helper()
	ask := `{"sql":"select event from raw limit 1"}`
	w := do(s, &access.Principal{Tenant: "default", Name: "ann", Role: access.Admin, Via: access.ViaSession}, "POST", "/v1/hunt", ask)
	if !strings.Contains(w.Body.String(), "permission raw") {
		t.Errorf("an admin without the permission: %s", w.Body)
	}
	if w := do(s, access.Socket(os.Getuid()), "GET", "/v1/audit?verb=read+raw", ""); !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("what was refused is audited as read: %s", w.Body)
	}
	w = do(s, &access.Principal{Tenant: "default", Name: "bob", Role: access.Viewer, Raw: true, Via: access.ViaSession}, "POST", "/v1/hunt", ask)
	if !strings.Contains(w.Body.String(), `"rows":1`) {
		t.Errorf("a viewer with the permission: %s", w.Body)
	}
	if w := do(s, access.Socket(os.Getuid()), "GET", "/v1/audit?verb=read+raw", ""); !strings.Contains(w.Body.String(), `"actor":"bob"`) || !strings.Contains(w.Body.String(), "select event from raw") {
		t.Errorf("the audit chain: %s", w.Body)
	}
	if w := do(s, &access.Principal{Tenant: "default", Name: "ann", Role: access.Admin, Via: access.ViaSession}, "GET", "/v1/recording?since=2020-01-01T00:00:00Z", ""); w.Code != 403 {
		t.Errorf("a recording without the permission: %d", w.Code)
	}
}

const psqlRule = `title: psql from a shell
status: test
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|endswith: /psql}
  condition: selection
level: medium
`

// backtests: a rule is tried on the archive, put in force, read, and ended again.
func backtests(t *testing.T, s *Server) {
	t.Helper()
	root := access.Socket(os.Getuid())
	ask := func(text, more string) string {
		b, _ := json.Marshal(text)
		return do(s, root, "POST", "/v1/rules/backtest", `{"text":`+string(b)+more+`}`).Body.String()
	}
	if got := ask(psqlRule, ""); !strings.Contains(got, `"what":"psql -h db1'; DROP TABLE`) || !strings.Contains(got, `"matches":1,`) || !strings.Contains(got, `"hosts":{"web1":1}`) {
		t.Errorf("back-test: %s", got)
	}
	if got := ask(psqlRule, `,"host":"db1"`); !strings.Contains(got, `"matches":0,`) {
		t.Errorf("back-test of another host: %s", got)
	}
	if got := ask(strings.ReplaceAll(psqlRule, "/psql", "/psqlx"), ""); !strings.Contains(got, `"matches":0,`) {
		t.Errorf("near miss: %s", got)
	}
	if got := ask(psqlRule, `,"events":3`); !strings.Contains(got, `"events":3,`) || !strings.Contains(got, `"cut":"events"`) {
		t.Errorf("bounded back-test: %s", got)
	}
	if got := ask("title: x\n", ""); !strings.Contains(got, `"error":"bad request: line`) {
		t.Errorf("no rule: %s", got)
	}
	text, _ := json.Marshal(psqlRule)
	w := do(s, root, "POST", "/v1/rules", `{"text":`+string(text)+`}`)
	var saved SavedRule
	if err := json.Unmarshal(w.Body.Bytes(), &saved); err != nil || saved.ID == "" {
		t.Fatalf("save: %d %s", w.Code, w.Body)
	}
	if w := do(s, root, "GET", "/v1/rules?own=true", ""); !strings.Contains(w.Body.String(), saved.ID) || !strings.Contains(w.Body.String(), `"own":true`) {
		t.Errorf("own rules: %s", w.Body)
	}
	if w := do(s, root, "GET", "/v1/rules/text?id="+saved.ID, ""); !strings.Contains(w.Body.String(), "psql from a shell") {
		t.Errorf("its text: %s", w.Body)
	}
	if w := do(s, &access.Principal{Tenant: "default", Name: "ann", Role: access.Admin, Via: access.ViaSession}, "DELETE", "/v1/rules/"+saved.ID, ""); w.Code != 403 {
		t.Errorf("one tenant's admin ends a rule of all: %d", w.Code)
	}
	if w := do(s, root, "DELETE", "/v1/rules/"+saved.ID, ""); w.Code != 200 {
		t.Errorf("drop: %d %s", w.Code, w.Body)
	}
	if w := do(s, root, "GET", "/v1/rules?own=true", ""); !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("after it was dropped: %s", w.Body)
	}
	if w := do(s, root, "GET", "/v1/rules/text?id="+url.QueryEscape("light/asp_small_eval"), ""); !strings.Contains(w.Body.String(), "rule asp_small_eval") {
		t.Errorf("a YARA rule: %.300s", w.Body)
	}
}
