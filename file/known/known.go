// SPDX-License-Identifier: Apache-2.0

package known

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/verdict"
)

// Config says where to look.
type Config struct {
	Root   string   // folder under which the host's files lie; "" is /
	Hashes []string // hash lists: lines "SHA256 white|black [note]", # comments
}

// ID is a file on disk as stat(2) tells it: equal IDs with a settled ctime
// mean equal content. Times in nanoseconds since 1970.
type ID struct {
	Dev, Inode       uint64
	Size             int64
	MtimeNS, CtimeNS int64
}

// File is what Check is told. Path is absolute as the host sees it, with links
// resolved. MD5 is asked for only when a packaged file is met for the first
// time; it may read the file again.
type File struct {
	Path   string
	ID     ID
	SHA256 [32]byte // zero: not known, the file is too large to be hashed
	MD5    func() ([16]byte, error)
}

// Answer is what is known. Score is the probability that the file is
// malicious as far as this stage can tell; 0 for white and for unknown.
type Answer struct {
	Colour  verdict.Colour
	Package string // owner, or ""
	Reason  string // in words; "" when nothing is known
	Score   float64
	// Modified: the package manager vouched for other content at this path.
	Modified bool
	// Again: the package manager is at work; ask again when it is done.
	Again bool
}

// Stats is what Known has done and holds.
type Stats struct {
	Packages, Files, Skipped, Hashes, Bound, Cached int
	CacheHits, CacheMisses, CacheEvicted            uint64
	Reloads, ReloadErrors                           uint64
	Bytes                                           int // held, estimated
}

// Known answers for one host. Safe for many goroutines.
type Known struct {
	root   string
	hashes *hashList

	manifest atomic.Pointer[manifest]
	reload   sync.Mutex
	reloads  atomic.Uint64
	failures atomic.Uint64

	mu sync.Mutex // guards bound and cache
	// bound ties a packaged file to the SHA-256 it had when its MD5 was right,
	// so that an MD5 collision made later is of no use.
	bound map[boundKey][32]byte
	cache statCache
}

type boundKey struct {
	path uint64
	md5  [16]byte
}

// maxBound times about 90 bytes is 6 MB; a host that has looked at more
// packaged files than that pays the MD5 each time.
const maxBound = 65_536

// New reads package records and hash lists. Wrong lines of a hash list come
// back as an error beside a Known that works.
func New(cfg Config) (*Known, error) {
	root := cfg.Root
	if root == "" {
		root = "/"
	}
	m, err := readManifest(root)
	if err != nil {
		return nil, err
	}
	hashes, err := readHashes(cfg.Hashes)
	k := &Known{root: root, hashes: hashes, bound: map[boundKey][32]byte{}}
	k.manifest.Store(m)
	return k, err
}

// Refresh reads the package records again if they changed. It costs three
// stat calls when they did not. On an error the old records stay.
func (k *Known) Refresh() (changed bool, err error) {
	k.reload.Lock()
	defer k.reload.Unlock()
	if stampOf(k.root) == k.manifest.Load().stamp {
		return false, nil
	}
	m, err := readManifest(k.root)
	if err != nil {
		k.failures.Add(1)
		return false, err
	}
	k.manifest.Store(m)
	k.reloads.Add(1)
	k.mu.Lock()
	k.cache.clear() // white of yesterday may be a modified file today
	k.mu.Unlock()
	return true, nil
}

// Owner names the package a path belongs to, or "".
func (k *Known) Owner(path string) string {
	m := k.manifest.Load()
	if found := m.find(path); len(found) > 0 {
		return m.name(found[0])
	}
	return ""
}

// Cached answers without a read of the file, if it was judged white before and
// stat shows the same. now guards against a file that changed twice within
// one tick of the file system's clock: what is younger than that is not kept.
func (k *Known) Cached(path string, id ID) (Answer, [32]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cache.get(path, id)
}

// settle is how old a ctime must be to tell versions of a file apart: FAT and
// old NFS have 2 s, others less.
const settle = 2 * time.Second

// Check says what is known of a file with this content at this path.
func (k *Known) Check(f File, now time.Time) (Answer, error) {
	a, err := k.check(f)
	if err == nil && a.Colour == verdict.Colour_WHITE && now.UnixNano()-f.ID.CtimeNS > int64(settle) {
		k.mu.Lock()
		k.cache.put(f.Path, f.ID, a, f.SHA256)
		k.mu.Unlock()
	}
	return a, err
}

func (k *Known) check(f File) (Answer, error) {
	switch colour, note := k.hashes.find(f.SHA256); colour {
	case verdict.Colour_BLACK:
		return Answer{Colour: colour, Reason: reason("listed hash", note), Score: 0.99}, nil
	case verdict.Colour_WHITE:
		return Answer{Colour: colour, Reason: reason("listed hash", note)}, nil
	}
	a, err := k.packaged(f)
	if err != nil || !a.Modified {
		return a, err
	}
	// Before a file is called modified: perhaps its package was.
	if changed, err := k.Refresh(); err != nil {
		return Answer{Package: a.Package, Reason: "package records could not be read again", Again: true}, nil
	} else if changed {
		if a, err = k.packaged(f); err != nil || !a.Modified {
			return a, err
		}
	}
	if k.Busy() {
		return Answer{Package: a.Package, Reason: "differs from its package, but packages are being changed", Again: true}, nil
	}
	return a, nil
}

func reason(what, note string) string {
	if note == "" {
		return what
	}
	return what + ": " + note
}

// packaged compares with the package manager's records.
func (k *Known) packaged(f File) (Answer, error) {
	m := k.manifest.Load()
	found := m.find(f.Path)
	if len(found) == 0 {
		return Answer{}, nil
	}
	if f.SHA256 == [32]byte{} {
		return Answer{Package: m.name(found[0]), Reason: "too large to compare with its package"}, nil
	}
	if r, ok := k.boundTo(found, f.SHA256); ok {
		return Answer{Colour: verdict.Colour_WHITE, Package: m.name(r), Reason: "as packaged"}, nil
	}
	sum, err := f.MD5()
	if err != nil {
		return Answer{}, fmt.Errorf("compare %q with package %q: %w", f.Path, m.name(found[0]), err)
	}
	conffile := true
	for _, r := range found {
		conffile = conffile && r.conffile()
		if r.md5 != sum {
			continue
		}
		key := boundKey{r.path, r.md5}
		k.mu.Lock()
		first, bound := k.bound[key]
		if !bound && len(k.bound) < maxBound {
			k.bound[key] = f.SHA256
		}
		k.mu.Unlock()
		if bound && first != f.SHA256 {
			return Answer{Package: m.name(r), Modified: true, Score: 0.97,
				Reason: "same MD5 as packaged but other content: a forged collision"}, nil
		}
		return Answer{Colour: verdict.Colour_WHITE, Package: m.name(r), Reason: "as packaged"}, nil
	}
	if conffile {
		return Answer{Package: m.name(found[0]), Reason: "configuration file changed on this host"}, nil
	}
	return Answer{Package: m.name(found[0]), Modified: true, Score: 0.4, Reason: "modified package file"}, nil
}

// boundTo finds the record that was seen with this SHA-256 before.
func (k *Known) boundTo(found []record, sum [32]byte) (record, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range found {
		if seen, ok := k.bound[boundKey{r.path, r.md5}]; ok && seen == sum {
			return r, true
		}
	}
	return record{}, false
}

// Busy tells whether dpkg is at work: it holds a lock (fcntl) on
// /var/lib/dpkg/lock, and before it on lock-frontend.
func (k *Known) Busy() bool {
	for _, name := range []string{"lock", "lock-frontend"} {
		if locked(filepath.Join(k.root, "var/lib/dpkg", name)) {
			return true
		}
	}
	return false
}

func locked(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lk); err != nil {
		return false
	}
	return lk.Type != unix.F_UNLCK
}

// Stats counts what is held and done.
func (k *Known) Stats() Stats {
	m := k.manifest.Load()
	k.mu.Lock()
	defer k.mu.Unlock()
	return Stats{
		Packages: len(m.packages), Files: len(m.records), Skipped: m.skipped, Hashes: len(k.hashes.entries),
		Bound: len(k.bound), Cached: len(k.cache.entries),
		CacheHits: k.cache.hits, CacheMisses: k.cache.misses, CacheEvicted: k.cache.evicted,
		Reloads: k.reloads.Load(), ReloadErrors: k.failures.Load(),
		Bytes: len(m.records)*32 + len(k.hashes.entries)*40 + len(k.bound)*90 + len(k.cache.entries)*entryBytes,
	}
}

// String names an answer for people.
func (a Answer) String() string {
	s := a.Colour.String()
	if a.Package != "" {
		s += " " + a.Package
	}
	if a.Reason != "" {
		s += " (" + a.Reason + ")"
	}
	return s
}

// Hex is a hash as text.
func Hex(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
