// SPDX-License-Identifier: Apache-2.0

// Package brain is the role that judges: it takes events off the bus into the
// archive, the graph and the decisions, and answers the doors. It has no rule of its
// own; it joins what others make.
//
// In come batches whose sender the broker has proved; out go findings, incidents and
// the watermark that lets agents forget. It believes the subject a batch came on.
//
// The worst trap: order. Judgement follows the order of arrival, which every event
// carries into the archive, so that a replay judges alike; whatever touches the graph
// runs on the worker's goroutine.
package brain

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/identity"
	"github.com/ringwall/ringwall/intel"
	"github.com/ringwall/ringwall/intel/reputation"
	"github.com/ringwall/ringwall/intel/risk"
	"github.com/ringwall/ringwall/ledger"
	"github.com/ringwall/ringwall/verdict"
)

// judgeHost is the name under which the brain's own findings are archived.
const judgeHost = "ringwall-brain"

// Options join a brain to its surroundings.
type Options struct {
	Data   string // folder of identities, bus, archive (0700)
	Hunter archive.Hunter
	Board  *health.Board
	Log    *slog.Logger
}

// Brain is one running brain.
type Brain struct {
	cfg   Config
	opt   Options
	auth  *identity.Authority
	hub   *bus.Hub
	store *archive.Store
	start time.Time

	workers map[string]*worker
	news    news
	marks   marks
	ledger  *ledger.Ledger
	scribe  scribe
	index   *index
	unsent  unsent
	keep    *keeper
	hosts   hosts
	bundles *bundles

	secrets            sync.Mutex    // one makes a tenant's key
	saving             sync.Mutex    // one changes the rules
	testing            sync.Mutex    // one back-test at a time: it reads and judges as fast as it can
	undecoded, refused atomic.Uint64 // events that do not decode, messages that are no batch

	mu     sync.Mutex // guards what follows
	claims claims
	book   *ruleBook
	lists  *reputation.Library
	follow func(*reputation.Library) // keeps lists fresh until others take their place; nil before Run
	epoch  uint64
	seq    uint64
}

// Open starts bus and archive and compiles the rules; nothing is judged before Run.
func Open(ctx context.Context, cfg Config, opt Options) (*Brain, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	auth, err := identity.OpenAuthority(filepath.Join(opt.Data, "identity"))
	if err != nil {
		return nil, err
	}
	b := &Brain{
		cfg: cfg, opt: opt, auth: auth, start: time.Now(), workers: map[string]*worker{},
		claims: claims{}, scribe: newScribe(), index: newIndex(), bundles: newBundles(),
		epoch: uint64(time.Now().UnixNano()) &^ 1,
	}
	for _, t := range cfg.Tenants {
		if err := auth.AddTenant(identity.Tenant(t)); err != nil {
			return nil, err
		}
	}
	rules, err := b.rules(b.withOwn(cfg))
	if err != nil {
		return nil, err
	}
	b.book = rules
	from, err := readMaterial(b.withOwn(cfg))
	if err != nil {
		return nil, err
	}
	b.store, err = archive.Open(archive.Config{Dir: filepath.Join(opt.Data, "archive"), MaxAge: cfg.Retention.Age, MaxBytes: cfg.Retention.Bytes})
	if err != nil {
		return nil, err
	}
	b.keep = newKeeper(b.store, opt.Board)
	for _, t := range cfg.Tenants { // a tenant of which nothing came yet can be hunted too
		if err := b.store.Offer(ctx, archive.Batch{Tenant: t}, func(error) {}); err != nil {
			return nil, err
		}
	}
	server := bus.ServerConfig{Dir: filepath.Join(opt.Data, "bus"), Listen: cfg.Listen, Log: opt.Log}
	if cfg.Listen != "" {
		server.TLS = auth.ServerTLS()
	}
	b.hub, err = bus.OpenHub(ctx, bus.HubConfig{URL: cfg.Bus, Server: server, MaxBytes: 4 << 30, Log: opt.Log}, auth)
	if err != nil {
		return nil, err
	}
	if b.ledger, err = ledger.Open(ctx, ledger.Config{Path: filepath.Join(opt.Data, "ledger.db")}); err != nil {
		return nil, err
	}
	if b.lists, err = reputation.New(cfg.Intel, opt.Log); err != nil {
		return nil, err
	}
	if err := b.lists.Reload(ctx, time.Now()); err != nil { // before the past is judged again
		opt.Board.Set("intel.reputation", health.Degraded, err.Error())
	}
	out := outlets{finding: b.tellFinding, incident: b.tellIncident, orders: b.tellOrders, action: b.tellAction, seen: b.hosts.note}
	for _, t := range cfg.Tenants {
		if from.except[t], err = b.exceptions(ctx, t, cfg.Except); err != nil {
			return nil, err
		}
	}
	if err := b.makeBundles(ctx, from); err != nil { // told, and tried again
		opt.Log.Warn("bundles", "error", err)
	}
	own := risk.NewMemory()
	for _, t := range cfg.Tenants {
		w := newWorker(t, rules.set, cfg, from.except[t], intel.NewStage(b.lists, own), own, out, opt.Log)
		if err := w.shown.Learner().Load(b.exposureFile(t)); err != nil {
			return nil, err
		}
		w.refs, w.groupOf = b.bundles.refs(t), func(host string) identity.Group { return b.groupOf(t, host) }
		b.workers[t] = w
	}
	return b, nil
}

// Ledger is the mutable truth, for the guard of the API; it is closed when Run ends.
func (b *Brain) Ledger() *ledger.Ledger { return b.ledger }

// Authority names who may join.
func (b *Brain) Authority() *identity.Authority { return b.auth }

// Bus is how an agent reaches the broker: the embedded one, for an agent in this process
// (nil with an external one), and the URL and pins that others are told.
func (b *Brain) Bus() (server *bus.Server, url string, pins []identity.Pin) {
	url, pins = b.hub.Address()
	return b.hub.Server(), url, pins
}

// PushTenant tells the broker of newly enrolled hosts.
func (b *Brain) PushTenant(ctx context.Context, tenant string) error {
	return b.hub.PushTenant(ctx, identity.Tenant(tenant))
}

// Secret is the tenant's key for hashing credentials, made on first use (0600).
func (b *Brain) Secret(tenant string) ([]byte, error) {
	b.secrets.Lock()
	defer b.secrets.Unlock()
	path := filepath.Join(b.opt.Data, "identity", "redact-"+tenant+".key")
	if key, err := os.ReadFile(path); err == nil && len(key) >= 16 {
		return key, nil
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	err := os.WriteFile(path+".new", key, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return nil, fmt.Errorf("make the tenant's redaction key: %w", err)
	}
	return key, nil
}

// Run judges until ctx ends.
func (b *Brain) Run(ctx context.Context) error {
	var store, judge sync.WaitGroup
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	store.Go(func() {
		if err := b.store.Run(storeCtx); err != nil {
			b.opt.Board.Set("archive", health.Off, err.Error())
			b.opt.Log.Error("archive stopped", "error", err)
		}
	})
	b.opt.Board.Set("archive", health.On, "")
	defer store.Wait()
	defer stopStore()
	defer b.hub.Close()
	defer func() {
		if err := b.ledger.Close(); err != nil {
			b.opt.Log.Warn("close the ledger", "error", err)
		}
	}()
	judge.Go(func() { b.scribe.run(ctx) })
	judge.Go(func() { b.keepIndex(ctx) })
	judge.Go(func() { b.keep.run(ctx) })
	judge.Go(func() { b.learnOn(ctx) })
	judge.Go(func() { b.unsent.run(ctx, b.deliverOrder) })
	judge.Go(func() { b.tendBundles(ctx) })
	b.followLists(ctx, &judge)
	defer b.stopReload()
	b.opt.Board.Set("ledger", health.On, "")
	for t, w := range b.workers {
		if err := b.warm(ctx, t, w); err != nil && ctx.Err() == nil {
			b.opt.Log.Warn("the recent past could not be judged again", "tenant", t, "error", err)
		}
		b.finishOrders(ctx, t)
		judge.Go(func() { w.run(ctx) })
		judge.Go(func() { b.keepPictures(ctx, t) })
	}
	seen := bus.NewSeen()
	for t := range b.workers {
		for _, h := range b.store.Hosts(t) {
			for epoch, seq := range b.store.Watermarks(t, h) {
				seen.Stored(identity.Tenant(t), identity.Host(h), identity.Position{Epoch: epoch, Seq: seq})
			}
		}
	}
	consumer, err := b.hub.NewConsumer(bus.ConsumerConfig{Seen: seen, Refused: func(t identity.Tenant, h identity.Host, why error) {
		b.refused.Add(1)
		b.opt.Log.Warn("message refused", "tenant", t, "host", h, "error", why)
	}})
	if err != nil {
		return err
	}
	b.opt.Board.Set("bus", health.On, "")
	judge.Go(func() {
		b.hub.Tend(ctx, func(err error) {
			if err != nil {
				b.opt.Board.Set("bus", health.Degraded, err.Error()+"; events wait in the spools")
				return
			}
			b.opt.Board.Set("bus", health.On, "")
		})
	})
	judge.Go(func() {
		b.marks.tell(ctx, b.hub.PublishStored, func(h identity.Host, err error) {
			b.opt.Log.Warn("watermark not sent", "host", h, "error", err)
		})
	})
	err = consumer.Run(ctx, func(d *bus.Delivery) { b.deliver(ctx, d) })
	judge.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), scribeLast)
	defer cancel()
	for t, w := range b.workers { // the judges have ended: their state is ours
		b.keepTaken(last, t, w.except)
		if err := w.shown.Learner().Save(b.exposureFile(t)); err != nil {
			b.opt.Log.Warn("learned exposure not saved", "tenant", t, "error", err)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// warm judges the recent past again, in the order it was judged then, so that graph
// and incidents are what they were. What a kill cut off between an event's commit and
// that of its finding or order is told now.
func (b *Brain) warm(ctx context.Context, tenant string, w *worker) error {
	if err := b.fillIndex(ctx, tenant); err != nil {
		return err
	}
	var past []*event.Event
	w.told = map[string]bool{}
	recent := time.Now().Add(-b.cfg.Warm)
	for ev, err := range b.store.Scan(ctx, tenant, archive.Range{From: recent.Add(-warmSkew), Order: archive.ByArrival}) {
		if err != nil {
			return err
		}
		if len(past) == 0 && ev.Host != judgeHost && ev.Wall().Before(recent) {
			continue // what came before the first recent one; behind it, a clock that was stepped back
		}
		if ev.Host == judgeHost {
			w.told[ev.GetFinding().GetId()] = true
			if f := ev.GetFinding(); f.GetId() != "" {
				b.index.put(tenant, f) // a kill may have come before the list had it
			}
			w.toldThrough = max(w.toldThrough, ev.Arrival)
			continue
		}
		if past = append(past, ev); len(past) >= warmMost {
			past = past[len(past)/2:]
		}
	}
	w.replaying = true
	for _, ev := range past {
		w.see(ev)
		w.arrival = max(w.arrival, ev.Arrival)
	}
	w.replaying = false
	for _, inc := range w.fold.Incidents() {
		b.keepIncident(inc)
	}
	return nil
}

// warmSkew is how far back a host's clock may be stepped without its events being
// left out of a warm start.
const warmSkew = 2 * time.Hour

// warmMost bounds the memory of a warm start: about 300 MB of events.
const warmMost = 500_000

// deliver takes one batch: into the archive, whose done acknowledges it, and to the
// judge.
func (b *Brain) deliver(ctx context.Context, d *bus.Delivery) {
	w := b.workers[string(d.Tenant)]
	if w == nil {
		b.opt.Log.Warn("batch of an unknown tenant", "tenant", d.Tenant, "host", d.Host)
		_ = d.Ack()
		return
	}
	if b.keep.ready(ctx) != nil {
		return // not acknowledged: the next life gets it
	}
	b.hosts.heard(string(d.Tenant), string(d.Host), d.Arrived)
	events := b.decode(d)
	if err := w.put(ctx, events); err != nil {
		return
	}
	batch := archive.Batch{
		Tenant: string(d.Tenant), Host: string(d.Host), Epoch: d.Batch.Epoch,
		First: d.Batch.FirstSeq - d.Batch.Skipped, Last: d.Batch.Last().Seq, Events: events,
	}
	err := b.keep.offer(ctx, batch, func() {
		_ = d.Ack()
		b.marks.stored(d.Tenant, d.Host, d.Through)
	})
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, archive.ErrClosed) {
		b.opt.Log.Warn("archive refused a batch", "host", d.Host, "error", err)
	}
}

// decode reads the events of a batch. What does not decode is counted and told; what
// speaks in another's name becomes a finding.
func (b *Brain) decode(d *bus.Delivery) []*event.Event {
	events := make([]*event.Event, 0, len(d.Batch.Events))
	bad := uint64(0)
	for i, raw := range d.Batch.Events {
		ev := &event.Event{}
		if err := ev.UnmarshalVT(raw); err != nil {
			bad++
			b.opt.Log.Warn("event does not decode", "host", d.Host, "epoch", d.Batch.Epoch, "seq", d.Batch.FirstSeq+uint64(i), "error", err)
			continue
		}
		if f := ev.GetFinding(); ev.Tenant != string(d.Tenant) || ev.Host != string(d.Host) || f != nil && f.Host != "" && f.Host != ev.Host {
			if ev = b.impostor(d, ev); ev == nil {
				continue
			}
		}
		ev.Epoch, ev.Seq, ev.Arrival = d.Batch.Epoch, d.Batch.FirstSeq+uint64(i), 0
		if f := ev.GetFinding(); f != nil && f.Id == "" {
			f.Events = append(f.Events, ev.ID())
			f.SetID()
		}
		events = append(events, ev)
	}
	if bad > 0 {
		b.undecoded.Add(bad)
		at := d.Arrived.UnixNano()
		b.opt.Board.Lost(&verdict.LossWindow{Sensor: "bus", Class: d.Class.String(), FromNs: at, ToNs: at, Count: bad, Reason: fmt.Sprintf("events of %s do not decode", d.Host)})
	}
	return events
}

// tellFinding keeps, archives and announces a finding that rests on the event of that
// arrival.
func (b *Brain) tellFinding(tenant string, f *verdict.Finding, arrival uint64) {
	b.mu.Lock()
	b.seq++
	ev := &event.Event{
		Tenant: tenant, Host: judgeHost, Epoch: b.epoch, Seq: b.seq, WallNs: f.WallNs, Arrival: arrival, Schema: event.Schema, Sensor: event.Sensor_JUDGE,
		Payload: &event.Event_Finding{Finding: f},
	}
	b.mu.Unlock()
	ev.Classify()
	batch := archive.Batch{Tenant: tenant, Host: judgeHost, Epoch: ev.Epoch, Events: []*event.Event{ev}}
	if err := b.keep.offer(context.Background(), batch, func() {}); err != nil && !errors.Is(err, archive.ErrClosed) {
		b.opt.Log.Warn("finding not archived", "id", f.Id, "error", err)
	}
	b.index.put(tenant, f)
	b.news.tell(tenant, f, nil, nil)
}
