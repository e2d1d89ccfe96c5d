// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/archive/synth"
	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "archive-query" {
		os.Exit(Serve(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "archive-probe" {
		if err := serve(os.Args[2:], probe); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// probe tries, from inside the confined process and past DuckDB, what an attacker
// who has taken the engine over would.
func probe(o orders, _ io.Reader, out io.Writer) error {
	say := func(what string, err error) {
		if err == nil {
			fmt.Fprintln(out, "possible:", what)
		}
	}
	read := func(name string) { _, err := os.ReadFile(name); say("read "+name, err) }
	for _, name := range []string{"/etc/passwd", "/etc/hostname", "/proc/1/status", "/proc/self/environ", filepath.Join(o.dir, "../../other/MANIFEST"), filepath.Join(o.dir, "../MANIFEST")} {
		read(name)
	}
	_, err := os.ReadDir("/etc")
	say("list /etc", err)
	write := func(name string) { say("write "+name, os.WriteFile(name, []byte("x"), 0o600)) }
	write("/tmp/mark")
	write(filepath.Join(o.dir, "events/mark"))
	segs, _ := filepath.Glob(filepath.Join(o.dir, "events/*.parquet"))
	if len(segs) == 0 {
		fmt.Fprintln(out, "impossible: see the segments")
		return nil
	}
	if _, err := os.ReadFile(segs[0]); err != nil {
		fmt.Fprintln(out, "impossible: read a segment:", err)
	}
	say("remove a segment", os.Remove(segs[0]))
	say("rename a segment", os.Rename(segs[0], segs[0]+"x"))
	say("open a segment for write", func() error { _, err := os.OpenFile(segs[0], os.O_RDWR, 0); return err }())
	_, err = net.Dial("udp", "127.0.0.1:9")
	say("make a socket", err)
	say("run a program", exec.Command("/bin/true").Run())
	say("kill the parent", syscall.Kill(os.Getppid(), syscall.SIGTERM))
	say("become root", syscall.Setuid(0))
	say("leave the root folder", syscall.Chroot("."))
	say("mount", syscall.Mount("none", "/", "tmpfs", 0, ""))
	fmt.Fprintln(out, "probed")
	return nil
}

// The operating system's part holds without DuckDB's.
func TestConfinementHoldsWithoutDuckDB(t *testing.T) {
	if landlockABI() == 0 && os.Geteuid() != 0 {
		t.Skip("neither Landlock nor root here: nothing but DuckDB's own lock and seccomp hold the engine")
	}
	s, p := lab(t, Config{})
	put(t, s, "acme", 1)
	put(t, s, "other", 1)
	dir, _ := archive.Dir(p.cfg.Root, "acme")
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/exe", "archive-probe", "confine", "65534", "65534", "512", "2", dir)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = []string{"SECRET=1"}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "probed\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// lab is an archive with two tenants and a pool over it.
func lab(t testing.TB, cfg Config) (*archive.Store, *Pool) {
	t.Helper()
	dir := t.TempDir()
	s, err := archive.Open(archive.Config{Dir: dir, FlushEvery: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	cfg.Root = dir
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		cancel()
		<-done
	})
	return s, p
}

func put(t testing.TB, s *archive.Store, tenant string, batches int) {
	t.Helper()
	src := synth.New(tenant, 3, 1, 1e6)
	for range batches {
		host, events := src.Batch(200)
		b := archive.Batch{Tenant: tenant, Host: host, Epoch: 1, Events: events,
			Edges: []archive.Edge{{Key: entity.Key{0xab}, TimeNs: events[0].WallNs, Type: 3, Other: entity.Key{0xcd}, Host: host, Epoch: 1, Seq: 1}}}
		if err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func hunt(t testing.TB, p *Pool, tenant, sql string) ([][]any, *archive.Answer, error) {
	t.Helper()
	var rows [][]any
	ans, err := p.Hunt(t.Context(), tenant, sql, archive.Limits{Raw: true}, func(r []any) error {
		rows = append(rows, r)
		return nil
	})
	return rows, ans, err
}

func one(t testing.TB, p *Pool, tenant, sql string) string {
	t.Helper()
	rows, _, err := hunt(t, p, tenant, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(rows) != 1 {
		t.Fatalf("%s: %d rows", sql, len(rows))
	}
	b, _ := json.Marshal(rows[0])
	return string(b)
}

func TestHuntSeesEveryView(t *testing.T) {
	s, p := lab(t, Config{})
	put(t, s, "acme", 10)
	put(t, s, "other", 1)
	for sql, want := range map[string]string{
		"select count(*) from events":                                                                       "[2000]",
		"select count(*), min(octet_length(event)) > 50 from raw":                                           "[2000,true]",
		"select count(*) from processes where kind = 'process.exec' and argv <> ''":                         "",
		"select typeof(time), typeof(time_ns), typeof(uid) from events limit 1":                             `["TIMESTAMP","BIGINT","INTEGER"]`,
		"select key, other, type, count(*) > 1 from edges group by all":                                     `["ab000000000000000000000000000000","cd000000000000000000000000000000",3,true]`,
		"with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select sum(i) from n;": "[15]",
		"select 1.5::decimal(4,2), 'x', null, [1,2], {'a': 1}, true -- a comment":                           `["1.5","x",null,[1,2],{"a":1},true]`,
		"select min(time) >= '2026-11-24' from events":                                                      "[true]",
	} {
		if got := one(t, p, "acme", sql); want != "" && got != want {
			t.Errorf("%s\n%s, want %s", sql, got, want)
		}
	}
	for _, v := range views {
		if _, _, err := hunt(t, p, "acme", "select * from "+v.name+" limit 3"); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
	}
	for _, sql := range []string{"describe events", "summarize logins", "explain select * from events", "from findings limit 1", "show tables"} {
		if rows, _, err := hunt(t, p, "acme", sql); err != nil || len(rows) == 0 {
			t.Errorf("%s: %d rows, %v", sql, len(rows), err)
		}
	}
	if got := one(t, p, "other", "select count(*) from events"); got != "[200]" {
		t.Errorf("the other tenant has %s", got)
	}
}

func TestEventIsHuntedAtOnceAndEmptyTenantsToo(t *testing.T) {
	s, p := lab(t, Config{})
	if err := s.Append(t.Context(), archive.Batch{Tenant: "acme", Host: "web", Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, p, "acme", "select count(*) from events"); got != "[0]" {
		t.Fatalf("an empty archive has %s", got)
	}
	e := &event.Event{Tenant: "acme", Host: "web", Epoch: 1, Seq: 1, WallNs: synth.Start, Payload: &event.Event_File{File: &event.FileActivity{File: &entity.File{Path: "/tmp/x", Sha256: synth.Hash(1)}}}}
	e.Classify()
	if err := s.Append(t.Context(), archive.Batch{Tenant: "acme", Host: "web", Epoch: 1, Events: []*event.Event{e}}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, p, "acme", "select path from files where sha256 = '"+synth.Hash(1)+"'"); got != `["/tmp/x"]` {
		t.Errorf("the event is %s", got)
	}
	if _, _, err := hunt(t, p, "nobody-here", "select 1"); !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), "no archive here") {
		t.Errorf("a tenant that is not there: %v", err)
	}
}

// attempts is what a hunter with ill will tries. Each must fail, and leave nothing.
func attempts(root, mark string) []string {
	return []string{
		"select * from read_text('/etc/shadow')",
		"select * from read_text('/etc/passwd')",
		"select * from read_blob('/proc/self/environ')",
		"select * from read_text('../../../../etc/passwd')",
		"select * from read_csv('/etc/passwd')",
		"select * from '/etc/passwd'",
		"select * from read_json('/etc/os-release')",
		"select * from glob('/etc/*')",
		"select * from glob('/**')",
		"select * from read_text('" + root + "/other/MANIFEST')",
		"select * from read_parquet('" + root + "/other/segments/events/*.parquet')",
		"select * from read_parquet('../other/segments/events/*.parquet')",
		"select * from read_parquet('../../other/segments/events/*.parquet')",
		"select * from parquet_metadata('" + root + "/other/segments/events/000000000001.parquet')",
		"select * from sniff_csv('/etc/passwd')",
		"copy events to '" + mark + "'",
		"copy (select 1) to '" + mark + "' (format csv)",
		"copy (select 1) to '" + root + "/acme/segments/events/mark.parquet'",
		"copy (select 1) to '/events/mark.parquet'",
		"copy (select 1) to '/dev/stdout'",
		"explain analyze copy (select 1) to '/events/mark.parquet'",
		"export database '" + mark + "'",
		"attach '" + mark + "' as db",
		"attach '" + root + "/other/segments/events/000000000001.parquet' as db",
		"install httpfs", "load httpfs", "load '/tmp/x.duckdb_extension'", "force install spatial from community",
		"pragma database_list", "/* x */ -- y\n Pragma database_list", "pragma enable_profiling", "pragma version",
		"set enable_external_access = true", "set memory_limit = '100GB'", "set lock_configuration = false", "reset all", "set threads = 64", "set allowed_directories = ['/']",
		"create table t as select 1", "create or replace view events as select 1", "create secret (type s3)", "create macro m() as 1", "create temp table t(i int)",
		"insert into events select * from events", "delete from events", "drop view events", "update events set host = 'x'", "vacuum", "checkpoint", "call pragma_version()",
		"select 1; select 2", "select 1; set threads = 3", "select 1) ; copy (select 1) to '" + mark + "'; select * from (select 2",
		"prepare p as select 1", "execute p", "begin", "use memory", "detach memory",
		"select getenv('PATH')", "select $1", "select ?",
		"select * from sqlite_scan('" + mark + "', 't')",
		"select * from read_text('http://127.0.0.1:1/')", "select * from 's3://bucket/x.parquet'",
		"", " ; ", "-- nothing", "select", "nonsense", "select * from nowhere", "select 'a\x00b'",
	}
}

func checkAttempts(t *testing.T, p *Pool, root string) {
	t.Helper()
	mark := filepath.Join(t.TempDir(), "mark")
	os.Chmod(filepath.Dir(mark), 0o777)
	before, _ := filepath.Glob(root + "/*/segments/*/*")
	for _, sql := range attempts(root, mark) {
		rows, _, err := hunt(t, p, "acme", sql)
		if err == nil {
			if strings.Contains(sql, "glob(") && len(rows) <= 40 && !strings.Contains(fmt.Sprint(rows), "etc") && !strings.Contains(fmt.Sprint(rows), "other") {
				continue // it sees its own segments
			}
			t.Errorf("%s: went through with %.300v", sql, rows)
			continue
		}
		if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrSQL) {
			t.Errorf("%s: %v: want a refusal that leaves the engine running", sql, err)
		}
		if len(err.Error()) < 25 {
			t.Errorf("%s: %v: says too little", sql, err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a file was written")
	}
	after, _ := filepath.Glob(root + "/*/segments/*/*")
	if len(after) != len(before) {
		t.Errorf("segments changed: %v", after)
	}
	if got := one(t, p, "acme", "select count(*) from events"); got != "[400]" {
		t.Errorf("after all that the archive has %s", got)
	}
}

func TestNothingButTheSegmentsCanBeTouched(t *testing.T) {
	s, p := lab(t, Config{})
	put(t, s, "acme", 2)
	put(t, s, "other", 2)
	checkAttempts(t, p, p.cfg.Root)
}

// The same without root: Landlock, seccomp and DuckDB's own lock have to do.
func TestNothingButTheSegmentsWithoutRoot(t *testing.T) {
	if os.Getenv("RINGWALL_QUERY_NONROOT") != "" {
		s, p := lab(t, Config{})
		put(t, s, "acme", 2)
		put(t, s, "other", 2)
		checkAttempts(t, p, p.cfg.Root)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: the other test is this one already")
	}
	// A copy that another user may execute, wherever the test binary lies.
	dir, err := os.MkdirTemp("", "nonroot")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o777)
	bin := filepath.Join(dir, "query.test")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-test.run", "^(TestNothingButTheSegmentsWithoutRoot|TestConfinementHoldsWithoutDuckDB)$", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{"RINGWALL_QUERY_NONROOT=1", "TMPDIR=" + dir, "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "--- PASS") != 2 {
		t.Errorf("as user 12345: %v\n%s", err, out)
	}
}

func TestLimitsEndAHuntAndTheNextOneRuns(t *testing.T) {
	s, p := lab(t, Config{Limits: archive.Limits{Time: 4 * time.Second, MemoryMB: 128, Rows: 100}})
	put(t, s, "acme", 2)
	for _, c := range []struct {
		sql  string
		want error
	}{
		{"select count(*) from range(1000000) a, range(1000000) b, range(1000) c where a.range + b.range = c.range - 7", ErrTime},
		{"with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n", ErrTime},
		{"select count(distinct r) from (select hash(range) || repeat('x', 200) as r from range(20000000))", ErrMemory},
		{"select length(repeat('x', 4000000000))", ErrMemory},
		{"select list(range) from range(100000000)", ErrMemory},
	} {
		_, _, err := hunt(t, p, "acme", c.sql)
		if !errors.Is(err, c.want) && !(errors.Is(c.want, ErrMemory) && (errors.Is(err, ErrTime) || errors.Is(err, ErrEngine) || errors.Is(err, ErrSQL))) {
			t.Errorf("%s: %v, want %v", c.sql, err, c.want)
		}
		t.Logf("%.60s: %v", c.sql, err)
		if got := one(t, p, "acme", "select count(*) from events"); got != "[400]" {
			t.Fatalf("the next hunt gives %s", got)
		}
	}
	rows, ans, err := hunt(t, p, "acme", "select * from range(1000000000000)")
	if err != nil || len(rows) != 100 || !ans.Truncated {
		t.Errorf("%d rows, truncated %v, %v", len(rows), ans, err)
	}
	rows, ans, err = hunt(t, p, "acme", "select * from range(100)")
	if err != nil || len(rows) != 100 || ans.Truncated {
		t.Errorf("exactly the cap: %d rows, truncated %v, %v", len(rows), ans, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Hunt(ctx, "acme", "select count(*) from range(100000000) a, range(1000000) b where a.range = b.range * 3 + 1", archive.Limits{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled by the caller: %v", err)
	}
}

// The engine as the kernel sees it.
func TestEngineHasNoPrivileges(t *testing.T) {
	s, p := lab(t, Config{})
	put(t, s, "acme", 1)
	if err := p.Warm("acme"); err != nil {
		t.Fatal(err)
	}
	pid := p.warm["acme"][0].cmd.Process.Pid
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if len(tasks) < 2 {
		t.Fatalf("%d threads", len(tasks))
	}
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		if os.Geteuid() == 0 && (!strings.Contains(string(b), "Uid:\t65534\t65534\t65534\t65534") || !strings.Contains(string(b), "CapEff:\t0000000000000000")) {
			t.Errorf("%s: privileges:\n%s", name, b)
		}
	}
	if os.Geteuid() == 0 {
		if root, _ := os.Readlink(fmt.Sprintf("/proc/%d/root", pid)); !strings.HasSuffix(root, "acme/segments") {
			t.Errorf("its root folder is %s", root)
		}
	}
}

func FuzzSQL(f *testing.F) {
	e, err := newEngine("/")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range attempts("/r", "/m") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) { e.single(sql) })
}

// A segment of schema 1 is hunted beside today's; the columns it lacks are NULL.
func TestOldSegmentsStayHuntable(t *testing.T) {
	s, p := lab(t, Config{})
	put(t, s, "acme", 1)
	data, err := os.ReadFile("../testdata/schema1.parquet")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(p.cfg.Root, "old", "segments")
	for _, d := range []string{"events", "edges"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "events/000000000001.parquet"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	today, err := os.ReadFile(filepath.Join(p.cfg.Root, "acme/segments/events/000000000001.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "events/000000000002.parquet"), today, 0o644); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf(`{"add":[{"table":"events","file":"000000000001.parquet","schema":1,"rows":120},{"table":"events","file":"000000000002.parquet","schema":%d,"rows":200}]}`, archive.Schema)
	sum := crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli))
	if err := os.WriteFile(filepath.Join(p.cfg.Root, "old/MANIFEST"), fmt.Appendf(nil, "%08x %s\n", sum, line), 0o600); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"select count(*), count(arrival), count(distinct host) from events": "[320,200,2]",
		"select count(*) > 5 from files where path like '/var/lib/%'":       "[true]",
		"select typeof(arrival), typeof(published_ns) from raw limit 1":     `["BIGINT","BIGINT"]`,
	} {
		if got := one(t, p, "old", sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}
