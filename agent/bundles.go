// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/bundle"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
)

// ErrRunning is wrapped when an agent runs on the data folder.
var ErrRunning = errors.New("an agent runs on this data folder")

// shelf is the agent's folder of bundles, owned by one process at a time.
type shelf struct {
	*bundle.Store
	dir  string
	lock *os.File
}

// openShelf opens DATA/bundle. What a kill left of unpacked bundles goes.
func openShelf(data, version string, v *identity.Verifier) (*shelf, error) {
	dir := filepath.Join(data, "bundle")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open bundle store: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open bundle store: %w", err)
	}
	fail := func(err error) (*shelf, error) {
		lock.Close()
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fail(fmt.Errorf("open bundle store %s: %w", dir, ErrRunning))
	}
	store, err := bundle.OpenStore(dir, version, v)
	if err != nil {
		return fail(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, workPrefix+"*")) // the pattern is good
	for _, d := range left {
		_ = os.RemoveAll(d)
	}
	return &shelf{store, dir, lock}, nil
}

func (s *shelf) close() { s.lock.Close() }

// lastGood gives the newest bundle on disk that still works, and what was wrong with a
// newer one; nil: there is none.
func (s *shelf) lastGood(log *slog.Logger) (*work, error) {
	var errs []error
	for _, b := range s.Good() {
		w, err := openWork(context.Background(), s.dir, b, log)
		if err == nil {
			return w, errors.Join(errs...)
		}
		errs = append(errs, fmt.Errorf("bundle %s: %w", b.Ref(), err))
	}
	return nil, errors.Join(errs...)
}

// takeBundle takes one that came over the bus or from a file. It is on disk before it is
// in force, and in force as a whole: every event is judged by the layers of one bundle,
// and those of the one before end when what they had taken is judged. settled is false
// where a later try may do better.
func (a *Agent) takeBundle(ctx context.Context, raw []byte) (ref string, changed, settled bool, err error) {
	a.changing.Lock()
	defer a.changing.Unlock()
	var next *work
	var built *layers
	open := func(b *bundle.Bundle) (err error) {
		if next, err = openWork(ctx, a.shelf.dir, b, a.opt.Log); err != nil {
			return err
		}
		a.mu.Lock()
		cfg := a.cfg
		a.mu.Unlock()
		built, err = a.build(cfg, next, true, a.layers.Load())
		return err
	}
	b, changed, err := a.shelf.Apply(raw, time.Now(), open)
	if err == nil && !changed && (a.work == nil || a.work.ref != b.Ref()) {
		changed, err = true, open(b) // on the shelf already, but it could not be opened at the start
	}
	if err != nil {
		next.remove()
		var disk *os.PathError
		var rename *os.LinkError
		// A disk may have room later, and a clock that is behind may be set.
		settled = !errors.As(err, &disk) && !errors.As(err, &rename) && !errors.Is(err, identity.ErrNotYet)
		a.refuseBundle(err, settled)
		return "", false, settled, err
	}
	if !changed {
		a.bundleIs(a.work)
		return b.Ref(), false, true, nil
	}
	a.mu.Lock()
	a.putInForce(built)
	a.mu.Unlock()
	a.work.remove()
	a.work = next
	for _, x := range next.wrong {
		a.opt.Log.Warn("left out of the bundle", "bundle", next.ref, "what", x)
	}
	a.opt.Log.Info("bundle taken", "bundle", next.ref, "note", b.Note)
	a.bundleIs(next)
	return next.ref, true, true, nil
}

// refuseBundle tells why a bundle is not taken. Only what is settled counts as refused: where
// the disk is full or this host's clock is behind, nobody has sent anything wrong, and it is
// tried again.
func (a *Agent) refuseBundle(err error, settled bool) {
	if !settled {
		a.opt.Log.Warn("bundle not taken yet", "error", err)
		a.opt.Board.Set(bundleName, health.Degraded, fmt.Sprintf("%v; it is tried again, until then this host %s", err, a.worksFrom()))
		return
	}
	n := a.refusedBundles.Add(1)
	a.opt.Log.Warn("bundle refused", "error", err, "refused", n)
	a.opt.Board.Set(bundleName, health.Degraded, fmt.Sprintf("%d bundles refused since start, the last: %v; this host %s", n, err, a.worksFrom()))
}

func (a *Agent) worksFrom() string {
	if a.work == nil {
		return "works from its own configuration"
	}
	return "works from bundle " + a.work.ref
}

// bundleIs says on the board from what the host works.
func (a *Agent) bundleIs(w *work) {
	switch {
	case w == nil:
		a.opt.Board.Set(bundleName, health.On, "none yet: this host works from its own configuration")
		return
	case len(w.wrong) > 0:
		a.opt.Board.Set(bundleName, health.Degraded, fmt.Sprintf("%s; %d of its rules and lines are left out, the first: %s", w.ref, len(w.wrong), w.wrong[0]))
	default:
		a.opt.Board.Set(bundleName, health.On, w.ref)
	}
	if w.keyID != "" && w.keyID != a.redact.KeyID() {
		a.opt.Board.Set(redactionName, health.Degraded, "this host hashes credentials with a key that is not its tenant's, so equal ones do not correlate with other hosts; make a token with `ringwall enroll --host` and run with --join once more")
		return
	}
	a.opt.Board.Set(redactionName, health.On, "")
}

// Refused counts since start what this host did not believe: not signed by its brain, not
// for it, or older than what it has.
func (a *Agent) Refused() map[string]uint64 {
	return map[string]uint64{"orders": a.refused.Load(), "bundles": a.refusedBundles.Load()}
}

// A bundle from a file: whoever may write in the data folder of a running agent lays it
// there, and the agent answers beside it. The signature decides, not the way.
const (
	bundleAsked  = "bundle.asked"
	bundleAnswer = "bundle.answer"
)

// Taken is what came of a bundle.
type Taken struct {
	Bundle  string `json:"bundle"`  // its reference
	Changed bool   `json:"changed"` // false: it was in force already
	Error   string `json:"error,omitempty"`
}

// GiveBundle hands a bundle from a file to the agent of a data folder: to the one that
// runs, or onto the shelf from which the next will start. version is this build's.
func GiveBundle(ctx context.Context, data, version string, raw []byte, log *slog.Logger) (Taken, error) {
	if _, err := os.Stat(data); err != nil {
		return Taken{}, fmt.Errorf("give the agent a bundle: %w", err)
	}
	self, unknown := identity.LoadAgent(filepath.Join(data, "self"))
	if unknown != nil {
		self = new(identity.Agent) // believes nobody; one that runs knows who it is
	}
	s, err := openShelf(data, version, self.Verifier(nil))
	if errors.Is(err, ErrRunning) {
		return askBundle(ctx, data, raw)
	}
	if err != nil {
		return Taken{}, err
	}
	defer s.close()
	if unknown != nil {
		return Taken{}, unknown
	}
	b, changed, err := s.Apply(raw, time.Now(), func(b *bundle.Bundle) error {
		w, err := openWork(ctx, s.dir, b, log)
		w.remove()
		return err
	})
	if err != nil {
		return Taken{}, err
	}
	return Taken{Bundle: b.Ref(), Changed: changed}, nil
}

func askBundle(ctx context.Context, data string, raw []byte) (got Taken, err error) {
	asked, answer := filepath.Join(data, bundleAsked), filepath.Join(data, bundleAnswer)
	if err := os.Remove(answer); err != nil && !errors.Is(err, os.ErrNotExist) {
		return got, fmt.Errorf("give the agent a bundle: %w", err)
	}
	if err := os.WriteFile(asked+".new", raw, 0o600); err != nil {
		return got, fmt.Errorf("give the agent a bundle: %w", err)
	}
	defer os.Remove(asked + ".new")
	if err := os.Rename(asked+".new", asked); err != nil {
		return got, fmt.Errorf("give the agent a bundle: %w", err)
	}
	defer os.Remove(asked)
	for {
		if text, err := os.ReadFile(answer); err == nil {
			_ = os.Remove(answer)
			if err := json.Unmarshal(text, &got); err != nil {
				return got, fmt.Errorf("the agent's answer to the bundle: %w", err)
			}
			if got.Error != "" {
				return got, fmt.Errorf("the agent refuses the bundle: %s", got.Error)
			}
			return got, nil
		}
		select {
		case <-ctx.Done():
			return got, fmt.Errorf("the agent on %s does not answer: %w", data, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// bundleGiven takes a bundle that was laid into the data folder.
func (a *Agent) bundleGiven(ctx context.Context) {
	asked := filepath.Join(a.opt.Data, bundleAsked)
	if _, err := os.Stat(asked); err != nil {
		return
	}
	raw, err := bundle.ReadFile(asked)
	_ = os.Remove(asked)
	var said Taken
	if err == nil {
		said.Bundle, said.Changed, _, err = a.takeBundle(ctx, raw)
	}
	if err != nil {
		said.Error = err.Error()
	}
	a.answer(bundleAnswer, said)
}

// answer writes what was asked for into the data folder, whole or not at all.
func (a *Agent) answer(name string, said any) {
	path := filepath.Join(a.opt.Data, name)
	raw, err := json.Marshal(said)
	if err == nil {
		err = os.WriteFile(path+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		a.opt.Log.Error("answer", "file", name, "error", err)
	}
}
