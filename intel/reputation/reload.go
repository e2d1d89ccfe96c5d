// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/feed"
	"github.com/ringwall/ringwall/feed/misp"
)

// state is a list with its history.
type state struct {
	file   List // zero for the built-in lists
	source Source
	good   *list // the last good one; never nil

	// Of the last good one, and of the last attempt.
	version time.Time // since when the content is as it is
	sum     [sha256.Size]byte
	report  feed.Report
	expired int
	refused int

	seen    stamp             // of the file at the last attempt that needs no repeat
	seenErr error             // what that attempt came to
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
		st.seen = stamp{} // when it comes back, read it
		return fail(err)
	}
	if mark == st.seen {
		return false, st.seenErr
	}
	ld := l.loader(ctx, st, mark, now)
	if err := ld.read(); err != nil {
		// Content that is bad stays bad until the file changes; other failures may pass.
		if _, err = fail(err); !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errBudget) && ctx.Err() == nil {
			st.seen, st.seenErr = mark, err
		}
		return false, err
	}
	if r := ld.report; float64(r.Malformed) > l.cfg.MaxMalformed*float64(r.Read) {
		_, err = fail(fmt.Errorf("%d of %d records are not understood (first: %w); check format, or raise max_malformed", r.Malformed, r.Read, r.Errors[0]))
		st.seen, st.seenErr = mark, err
		return false, err
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
	st.good, st.seen, st.seenErr, st.version, st.sum, st.shrunk = ld.list, mark, nil, version, ld.sum, [sha256.Size]byte{}
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
