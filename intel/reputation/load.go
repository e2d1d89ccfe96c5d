// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
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
	sum.Sum(ld.sum[:0])
	return err
}

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
