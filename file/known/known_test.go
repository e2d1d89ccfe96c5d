// SPDX-License-Identifier: Apache-2.0

package known

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/verdict"
)

func sum(s string) string { m := md5.Sum([]byte(s)); return hex.EncodeToString(m[:]) }

// host makes a root with dpkg's records in it.
func host(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	put("var/lib/dpkg/info/shell.md5sums", sum("sh")+"  bin/sh\n"+sum("php")+"  usr/share/shop/a b.php\nnonsense\nzz  x\n")
	put("var/lib/dpkg/info/perf:amd64.md5sums", sum("real perf")+"  usr/bin/perf\n")
	put("var/lib/dpkg/info/wrap.md5sums", sum("wrapper")+"  usr/bin/perf\n")
	put("var/lib/dpkg/diversions", "/usr/bin/perf\n/usr/bin/perf.wrapped\nwrap\n")
	put("var/lib/dpkg/status", "Package: shell\nStatus: install ok installed\nConffiles:\n /etc/shell.conf "+sum("conf")+"\n /etc/old.conf "+sum("old")+" obsolete\nDescription: x\n /not/a/conffile "+sum("x")+"\n\nPackage: only-conf\nConffiles:\n /etc/only.conf newconffile\n")
	put("var/lib/dpkg/lock", "")
	return root
}

func file(path, content string) File {
	return File{Path: path, ID: ID{Inode: 1, Size: int64(len(content))}, SHA256: sha256.Sum256([]byte(content)),
		MD5: func() ([16]byte, error) { return md5.Sum([]byte(content)), nil }}
}

func mustCheck(t *testing.T, k *Known, f File) Answer {
	t.Helper()
	a, err := k.Check(f, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPackagedFiles(t *testing.T) {
	k, err := New(Config{Root: host(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, content, want string }{
		{"/usr/bin/sh", "sh", "WHITE shell (as packaged)"}, // listed as bin/sh: usr is merged
		{"/bin/sh", "sh", "WHITE shell (as packaged)"},
		{"/usr/bin/sh", "other", "GREY shell (modified package file)"},
		{"/usr/share/shop/a b.php", "php", "WHITE shell (as packaged)"},
		{"/usr/share/shop/b.php", "php", "GREY"}, // right content, wrong place
		{"/usr/bin/perf", "wrapper", "WHITE wrap (as packaged)"},
		{"/usr/bin/perf.wrapped", "real perf", "WHITE perf (as packaged)"}, // diverted
		{"/usr/bin/perf", "real perf", "GREY wrap (modified package file)"},
		{"/etc/shell.conf", "conf", "WHITE shell (as packaged)"},
		{"/etc/shell.conf", "mine", "GREY shell (configuration file changed on this host)"},
		{"/etc/old.conf", "old", "WHITE shell (as packaged)"},
		{"/not/a/conffile", "x", "GREY"},
	} {
		if got := mustCheck(t, k, file(c.path, c.content)).String(); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.path, c.content, got, c.want)
		}
	}
	if s := k.Stats(); s.Files != 6 || s.Skipped != 3 {
		t.Errorf("stats %+v", s)
	}
}

// TestCollisionIsOfNoUse: once seen, content is held to SHA-256.
func TestCollisionIsOfNoUse(t *testing.T) {
	k, err := New(Config{Root: host(t)})
	if err != nil {
		t.Fatal(err)
	}
	good := file("/usr/bin/sh", "sh")
	if a := mustCheck(t, k, good); a.Colour != verdict.Colour_WHITE {
		t.Fatal(a)
	}
	calls := 0
	again := good
	again.MD5 = func() ([16]byte, error) { calls++; return [16]byte{}, nil }
	if a := mustCheck(t, k, again); a.Colour != verdict.Colour_WHITE || calls != 0 {
		t.Errorf("second look: %v with %d MD5 asked", a, calls)
	}
	forged := file("/usr/bin/sh", "evil")
	forged.MD5 = good.MD5
	if a := mustCheck(t, k, forged); a.Colour == verdict.Colour_WHITE || !a.Modified {
		t.Errorf("forged collision is %v", a)
	}
	unhashed := good
	unhashed.SHA256 = [32]byte{}
	if a := mustCheck(t, k, unhashed); a.Colour == verdict.Colour_WHITE {
		t.Errorf("a file without hash is %v", a)
	}
}

func TestStatCache(t *testing.T) {
	k, err := New(Config{Root: host(t)})
	if err != nil {
		t.Fatal(err)
	}
	f := file("/usr/bin/sh", "sh")
	f.ID.CtimeNS = 1e18 - int64(time.Second) // one second before now: may change again within the tick
	mustCheck(t, k, f)
	if _, _, ok := k.Cached(f.Path, f.ID); ok {
		t.Error("a file younger than the clock's tick was kept")
	}
	f.ID.CtimeNS = 1e18 - int64(time.Hour)
	mustCheck(t, k, f)
	if a, got, ok := k.Cached(f.Path, f.ID); !ok || got != f.SHA256 || a.Package != "shell" {
		t.Error("settled white file was not kept")
	}
	if _, _, ok := k.Cached("/var/www/sh", f.ID); ok {
		t.Error("another name of the same inode answered")
	}
	touched := f.ID
	touched.CtimeNS++
	if _, _, ok := k.Cached(f.Path, touched); ok {
		t.Error("changed file answered from the cache")
	}
}

// TestUpgrade: new files lie on disk before the records say so.
func TestUpgrade(t *testing.T) {
	root := host(t)
	k, err := New(Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(root, "var/lib/dpkg/lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &lk); err != nil {
		t.Fatal(err)
	}
	if a := mustCheck(t, k, file("/usr/bin/sh", "sh 2")); a.Modified || !a.Again {
		t.Errorf("during the upgrade: %+v", a)
	}
	lk.Type = unix.F_UNLCK
	if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &lk); err != nil {
		t.Fatal(err)
	}
	if a := mustCheck(t, k, file("/usr/bin/sh", "sh 2")); !a.Modified {
		t.Errorf("near miss, no upgrade: %+v", a)
	}
	list := filepath.Join(root, "var/lib/dpkg/info/shell.md5sums")
	if err := os.WriteFile(list+".new", []byte(sum("sh 2")+"  bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(list+".new", list); err != nil {
		t.Fatal(err)
	}
	if a := mustCheck(t, k, file("/usr/bin/sh", "sh 2")); a.Colour != verdict.Colour_WHITE {
		t.Errorf("after the upgrade: %+v", a)
	}
	if s := k.Stats(); s.Reloads != 1 {
		t.Errorf("%d reloads", s.Reloads)
	}
}

func TestHashList(t *testing.T) {
	list := filepath.Join(t.TempDir(), "hashes.txt")
	h := func(s string) string { return Hex(sha256.Sum256([]byte(s))) }
	text := "# own list\n" + h("bad") + " black Mirai  dropper\n" + h("good") + " white ours # since May\n" + h("both") + " white\n" + h("both") + " black\n" + h("x") + " green\nshort black\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{Root: t.TempDir(), Hashes: []string{list}})
	if err == nil || strings.Count(err.Error(), "line skipped") != 2 || !strings.Contains(err.Error(), "line 6") {
		t.Fatalf("wrong lines are told as %v", err)
	}
	for content, want := range map[string]string{
		"bad": "BLACK (listed hash: Mirai dropper)", "good": "WHITE (listed hash: ours)",
		"both": "BLACK (listed hash)", "x": "GREY", "unlisted": "GREY",
	} {
		if got := mustCheck(t, k, file("/tmp/x", content)).String(); got != want {
			t.Errorf("%q: %s, want %s", content, got, want)
		}
	}
}

// TestThisHost holds the whole to the machine it runs on: nearly all system
// programs are as packaged, in bounded memory.
func TestThisHost(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil {
		t.Skip("no dpkg here: the records of a real host are not read")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	k, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	s := k.Stats()
	t.Logf("%d packages, %d files read in %v, %d lines skipped; heap grew by %.1f MB", s.Packages, s.Files, took, s.Skipped, float64(after.HeapAlloc-before.HeapAlloc)/1e6)
	if after.HeapAlloc-before.HeapAlloc > 15<<20 {
		t.Errorf("heap grew by %d bytes for %d files", after.HeapAlloc-before.HeapAlloc, s.Files)
	}
	white, all := 0, 0
	var others []string
	entries, err := os.ReadDir("/usr/bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.Type() != fs.FileMode(0) || info.Size() > 1<<20 || all == 400 {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/usr/bin", e.Name()))
		if err != nil {
			continue
		}
		all++
		if a := mustCheck(t, k, file("/usr/bin/"+e.Name(), string(raw))); a.Colour == verdict.Colour_WHITE {
			white++
		} else {
			others = append(others, fmt.Sprintf("%s: %v", e.Name(), a))
		}
	}
	t.Logf("/usr/bin: %d of %d white; others %q", white, all, others)
	if all > 100 && white*100 < all*90 {
		t.Errorf("only %d of %d programs of /usr/bin are known", white, all)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add("Package: a\nConffiles:\n /etc/a 00000000000000000000000000000000\n", "00000000000000000000000000000000  bin/a\n", "/a\n/b\nc\n")
	f.Add("Conffiles:\n x\n", "\n  \n", "/a\n")
	f.Fuzz(func(t *testing.T, status, list, diversions string) {
		root := t.TempDir()
		dir := filepath.Join(root, "var/lib/dpkg")
		if err := os.MkdirAll(filepath.Join(dir, "info"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"status": status, "info/a.md5sums": list, "diversions": diversions} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k, err := New(Config{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Check(file("/bin/a", "x"), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzHashList(f *testing.F) {
	f.Add(strings.Repeat("a", 64) + " black note\n")
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(t.TempDir(), "l")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h, _ := readHashes([]string{name})
		h.find([32]byte{1})
	})
}
