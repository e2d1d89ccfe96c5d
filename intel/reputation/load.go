// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/csv"
	"github.com/ringwall/ringwall/feed/misp"
	"github.com/ringwall/ringwall/feed/plain"
	"github.com/ringwall/ringwall/feed/stix"
)

// state is a list with its history.
type state struct {
	file   List // zero for the built-in lists
	source Source
	good   *list // the last good one; never nil

	// Of the last good one, and of the last attempt.
	version  time.Time // since when the content is as it is
	sum      [sha256.Size]byte
	report   feed.Report
	expired  int
	refused  int

	seen    stamp             // of the file at the last attempt that needs no repeat
	shrunk  [sha256.Size]byte // content that awaits confirmation
	err     error
	isAllow bool
}

var errBudget = errors.New("needs more than other lists leave of max_bytes")

// stamp tells whether a file may have changed.
type stamp struct {
	size int64
	mod  time.Time
}

// declare lists what the configuration names: built-in, own, allow-lists, sources.
func (l *Library) declare() []*state {
	states := []*state{{good: builtinList(l.key), isAllow: true}, {good: ownList(l.cfg.Own), isAllow: true}}
	for _, a := range l.cfg.Allow {
		r := soft
		if a.Hard {
			r = hard
		}
		states = append(states, &state{file: a.List, good: &list{name: a.Name, role: r}, isAllow: true})
	}
	for _, s := range l.cfg.Sources {
		states = append(states, &state{file: s.List, source: s, good: &list{name: s.Name, half: s.HalfLife}})
	}
	return states
}

// Reload reads what changed on disk and swaps the new generation in, whole. A list that
// fails keeps its last good content; the error joins all failures, each naming its
// list, and Health has them too. now dates lists that carry no dates and drops what has
// expired: in a replay pass the replayed time.
func (l *Library) Reload(ctx context.Context, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	changed := false
	for _, st := range l.states {
		if st.file.Path == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		fresh, err := l.refresh(ctx, st, now)
		st.err = err
		changed = changed || fresh
		if err != nil {
			errs = append(errs, err)
		}
	}
	if changed {
		l.now.Store(l.build())
	}
	l.report()
	return errors.Join(errs...)
}

// Run reloads at once and then every Config.Reload until ctx ends. Failures go to the
// log when they begin and when they end; they never stop it.
func (l *Library) Run(ctx context.Context) error {
	tick := time.NewTicker(l.cfg.Reload)
	defer tick.Stop()
	last := ""
	for {
		text := ""
		if err := l.Reload(ctx, time.Now()); err != nil && ctx.Err() == nil {
			text = err.Error()
		}
		switch {
		case text != "" && text != last:
			l.log.Warn("intel.reputation: a list could not be loaded; its last good state stays", "error", text)
		case text == "" && last != "":
			l.log.Info("intel.reputation: every list is loaded again")
		}
		last = text
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// refresh reads one list if its file changed. fresh: the list is another one now.
func (l *Library) refresh(ctx context.Context, st *state, now time.Time) (fresh bool, err error) {
	fail := func(err error) (bool, error) { return false, fmt.Errorf("list %q: %w", st.file.Name, err) }
	mark, err := look(st.file)
	if err != nil {
		return fail(err)
	}
	if mark == st.seen {
		return false, st.err
	}
	ld := l.loader(ctx, st, mark, now)
	if err := ld.read(); err != nil {
		// Content that is bad stays bad until the file changes; other failures may pass.
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errBudget) && ctx.Err() == nil {
			st.seen = mark
		}
		return fail(err)
	}
	if r := ld.report; float64(r.Malformed) > l.cfg.MaxMalformed*float64(r.Read) {
		st.seen = mark
		return fail(fmt.Errorf("%d of %d records are not understood (first: %w); check format, or raise max_malformed", r.Malformed, r.Read, r.Errors[0]))
	}
	if err := st.confirm(ld); err != nil {
		return fail(err)
	}
	version := mark.mod
	if version.After(now) {
		version = now
	}
	if ld.sum == st.sum && !st.version.IsZero() {
		version = st.version // rewritten, not renewed
	}
	st.good, st.seen, st.version, st.sum, st.shrunk = ld.list, mark, version, ld.sum, [sha256.Size]byte{}
	st.report, st.expired, st.refused = ld.report, ld.expired, ld.refused
	return true, nil
}

// confirm holds back a list that lost more than half of itself, which is how a download
// cut short looks, until the next reload finds it unchanged.
func (st *state) confirm(ld *loader) error {
	const small = 100 // below it halving is ordinary
	if old := st.good.count; old >= small && ld.list.count < old/2 && ld.sum != st.shrunk {
		st.shrunk = ld.sum
		return fmt.Errorf("shrank from %d to %d; the old content stays until the next reload confirms this", old, ld.list.count)
	}
	return nil
}

// look stats the file that tells whether a list changed.
func look(f List) (stamp, error) {
	path := f.Path
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		if f.Format != "misp" {
			return stamp{}, fmt.Errorf("%s is a folder; only misp reads folders", path)
		}
		path = filepath.Join(path, misp.Manifest)
		info, err = os.Stat(path)
	}
	if err != nil {
		return stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s is not a regular file", path)
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// loader turns indicators into records.
type loader struct {
	ctx    context.Context
	st     *state
	key    *hasher
	now    time.Time
	dated  time.Time // what undated claims are dated to
	budget int64

	list    *list
	sets    map[string]uint32
	report  feed.Report
	sum     [sha256.Size]byte
	expired int
	refused int
}

func (l *Library) loader(ctx context.Context, st *state, mark stamp, now time.Time) *loader {
	budget := l.cfg.MaxBytes
	for _, other := range l.states {
		if other != st {
			budget -= other.good.bytes
		}
	}
	dated := mark.mod
	if dated.After(now) {
		dated = now
	}
	return &loader{ctx: ctx, st: st, key: &l.key, now: now, dated: dated, budget: budget, sets: map[string]uint32{},
		list: &list{name: st.good.name, role: st.good.role, half: st.good.half, loaded: true}}
}

func (ld *loader) read() (err error) {
	f := ld.st.file
	if info, serr := os.Stat(f.Path); serr == nil && info.IsDir() {
		err = ld.folder(f)
	} else {
		err = ld.one(f)
	}
	if err != nil {
		return err
	}
	ld.list.merge(ld.union)
	return nil
}

func (ld *loader) folder(f List) error {
	root, err := os.OpenRoot(f.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	b, err := root.ReadFile(misp.Manifest)
	if err != nil {
		return err
	}
	ld.sum = sha256.Sum256(b)
	ld.report, err = misp.ReadDir(f.Name, root.FS(), ld.add)
	return err
}

func (ld *loader) one(f List) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	r := io.TeeReader(file, sum)
	switch f.Format {
	case "plain":
		ld.report, err = plain.Read(f.Name, r, f.Plain, ld.add)
	case "csv":
		ld.report, err = csv.Read(f.Name, r, f.CSV, ld.add)
	case "stix":
		ld.report, err = stix.Read(f.Name, r, stix.Options{Observables: f.Observables}, ld.add)
	case "misp":
		ld.report, err = misp.Read(f.Name, r, ld.add)
	}
	ld.finish(sum)
	return err
}

func (ld *loader) finish(h hash.Hash) { h.Sum(ld.sum[:0]) }

// add keeps one claim.
func (ld *loader) add(ind feed.Indicator) error {
	r, ok := ld.record(&ind)
	if !ok {
		return nil
	}
	switch ind.Kind {
	case feed.IP:
		r.hash = ld.key.addr(netip.MustParseAddr(ind.Value))
	case feed.Prefix:
		ld.list.prefixes = append(ld.list.prefixes, prefixRecord{netip.MustParsePrefix(ind.Value), r})
		return ld.within()
	case feed.Domain:
		if suffix, _ := publicsuffix.PublicSuffix(ind.Value); suffix == ind.Value {
			ld.refused++ // whoever lists github.io means somebody on it
			return nil
		}
		r.hash = ld.key.text(domains, ind.Value)
	case feed.URL:
		r.hash = ld.key.text(urls, urlKey(ind.Value))
	case feed.Hash:
		r.hash = ld.key.text(hashes, ind.Value)
	case feed.Fingerprint:
		r.hash = ld.key.text(fingerprints, ind.Value)
	}
	ld.list.records = append(ld.list.records, r)
	return ld.within()
}

// within holds the list to the byte budget, and now and then asks whether to go on.
func (ld *loader) within() error {
	n := len(ld.list.records) + len(ld.list.prefixes)
	if n%4096 == 0 && ld.ctx.Err() != nil {
		return ld.ctx.Err()
	}
	if used := ld.list.bytes + int64(len(ld.list.records))*recordBytes + int64(len(ld.list.prefixes))*prefixBytes; used > ld.budget {
		return fmt.Errorf("%w (%d bytes); raise it or drop a list", errBudget, ld.budget)
	}
	return nil
}

// record dates and weighs a claim. ok is false when it has ended already.
func (ld *loader) record(ind *feed.Indicator) (r record, ok bool) {
	if ld.st.isAllow {
		word := "soft: "
		if ld.list.role == hard {
			word = "hard: "
		}
		r.tags = ld.set([]string{word + ld.list.name})
		return r, true
	}
	src := &ld.st.source
	conf := src.Confidence
	if ind.Confidence > 0 {
		conf *= ind.Confidence
	}
	r.conf = uint16(math.Round(conf * math.MaxUint16))
	if r.conf == 0 {
		return r, false
	}
	// Presence in a list that only grows is no observation, but its first day is (intel.md §7).
	seen := ind.LastSeen
	if seen.IsZero() {
		seen = ind.FirstSeen
	}
	if seen.IsZero() || seen.After(ld.now) {
		seen = ld.dated
	}
	ends := ind.Expires
	if lasting := ind.Kind == feed.Hash || ind.Kind == feed.Fingerprint; !lasting && src.Expiry > 0 {
		if own := seen.Add(src.Expiry); ends.IsZero() || own.Before(ends) {
			ends = own
		}
	}
	r.seen, r.expires = seconds(seen), seconds(ends)
	if r.expires != 0 && r.expires <= seconds(ld.now) {
		ld.expired++
		return r, false
	}
	r.tags = ld.set(feed.Tags(slices.Concat(src.Tags, ind.Tags)...))
	return r, true
}

// seconds since 1970, held to 32 bits (2106); the zero time is 0.
func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}

// set interns a tag set: the panel of data/intel has 568,432 addresses and 1,238 sets.
func (ld *loader) set(tags []string) uint32 {
	key := strings.Join(tags, "\x00")
	i, known := ld.sets[key]
	if !known {
		i = uint32(len(ld.list.tags))
		ld.sets[key] = i
		ld.list.tags = append(ld.list.tags, tags)
		ld.list.bytes += int64(len(key)) + int64(len(tags))*16 + 24
	}
	return i
}

func (ld *loader) union(a, b uint32) uint32 {
	return ld.set(feed.Tags(slices.Concat(ld.list.tags[a], ld.list.tags[b])...))
}
