// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// latency does harmless deeds that rules speak of, at random moments, at rest and while programs
// are started as fast as two loops can, and asks how long until a follower read the finding.
func latency(ctx context.Context, j *judge, r *Record) error {
	if os.Geteuid() != 0 {
		r.Skipped = "needs root: the kernel and file sensors"
		return nil
	}
	where, drop, err := newPlace("latency")
	if err != nil {
		return err
	}
	defer drop()
	where.uid = 0 // the shell under www-data or root makes no difference; files need no other user
	p, err := j.newProduct(ctx, where.dir)
	if err != nil {
		return err
	}
	defer p.end()
	if err := p.join(ctx, "scope: {cgroup: "+where.cgroup+"}\nfiles: {roots: ["+where.dir+"/www], sweep: off}\n"); err != nil {
		return err
	}
	w := &watch{seen: map[string]chan time.Time{}}
	stop, err := p.follow(ctx, w.line)
	if err != nil {
		return err
	}
	defer stop()
	r.Text = []string{"A worker in the agent's scope starts a shell whose input is a connection of loopback (kernel sensor → graph → rule), or writes a command page of PHP into a watched folder (file sensor → file funnel), at random moments 20 to 200 ms apart. The clock runs from before the deed is begun until `ringwall findings --follow` has printed the finding: agent, bus over TLS and brain lie between. `bin/ringwall brain` and `bin/ringwall-agent run` with every sensor; findings above and below the alert threshold alike."}
	t := Table{Head: []string{"load", "programs started/s", "deed", "n", "p50 ms", "p99 ms", "max ms", "missed"}}
	n := j.pick(400, 20)
	for _, loops := range []int{0, 2} {
		all, err := r.deeds(ctx, &t, where, w, loops, n)
		if err != nil {
			return err
		}
		if loops > 0 {
			missed := n - len(all)
			r.must("intrusion to alert under load, p99", "< 1000 ms", fmt.Sprintf("%.0f ms, %d of %d missed", quantile(all, 0.99), missed, n), missed == 0 && quantile(all, 0.99) < 1000)
			r.must("aim: p99", "300 ms", fmt.Sprintf("%.0f ms", quantile(all, 0.99)), missed == 0 && quantile(all, 0.99) <= 300)
		}
	}
	r.Tables = append(r.Tables, t)
	return nil
}

// missedAfter is how long a finding is waited for.
const missedAfter = 30 * time.Second

// deeds does n deeds beside the given number of loops that start programs.
func (r *Record) deeds(ctx context.Context, t *Table, where *place, w *watch, loops, n int) (all []float64, err error) {
	var started atomic.Int64
	for range loops {
		end, err := where.load(&started)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	cmd, done, err := where.worker("deeds")
	if err != nil {
		return nil, err
	}
	defer done()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	said := bufio.NewReader(out)
	if err := awake(ctx, in, said, w, loops); err != nil {
		return nil, err
	}
	rng, began, from := rand.New(rand.NewPCG(1, uint64(loops))), time.Now(), started.Load()
	took := map[string][]float64{}
	kinds := []string{"shell", "page"}
	for i := range n {
		kind, token := kinds[i%2], fmt.Sprintf("deed%dx%dx%d", loops, i, rng.IntN(1e6))
		seen := w.expect(token)
		if _, err := io.WriteString(in, kind+" "+token+"\n"); err != nil {
			return nil, err
		}
		line, err := said.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("the worker of deeds ended: %w", err)
		}
		ns, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		select {
		case at := <-seen:
			took[kind] = append(took[kind], float64(at.UnixNano()-ns)/1e6)
		case <-time.After(missedAfter):
			r.Notes = append(r.Notes, fmt.Sprintf("no finding of %s %s within %s", kind, token, missedAfter))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		time.Sleep(20*time.Millisecond + time.Duration(rng.IntN(180))*time.Millisecond)
	}
	perSec := float64(started.Load()-from) / time.Since(began).Seconds()
	name := "none"
	if loops > 0 {
		name = fmt.Sprintf("%d fork/exec loops", loops)
	}
	for i, kind := range kinds {
		v := took[kind]
		asked := (n + 1 - i) / 2
		r.row(t, name, fmt.Sprintf("%.0f", perSec), map[string]string{"shell": "shell on a connection", "page": "command page written"}[kind], len(v),
			fmt.Sprintf("%.1f", quantile(v, 0.5)), fmt.Sprintf("%.1f", quantile(v, 0.99)), fmt.Sprintf("%.1f", quantile(v, 1)), asked-len(v))
		all = append(all, v...)
	}
	return all, nil
}

// awake does deeds that do not count until one is followed by its finding: the follower may have
// begun a moment after its start.
func awake(ctx context.Context, in io.Writer, said *bufio.Reader, w *watch, loops int) error {
	for i := range 20 {
		token := fmt.Sprintf("warm%dx%d", loops, i)
		seen := w.expect(token)
		if _, err := io.WriteString(in, "shell "+token+"\n"); err != nil {
			return err
		}
		if _, err := said.ReadString('\n'); err != nil {
			return fmt.Errorf("the worker of deeds ended: %w", err)
		}
		select {
		case <-seen:
			return nil
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("none of 20 deeds was followed by a finding; is the kernel sensor on?")
}

// load starts a loop that starts programs; each start is counted.
func (p *place) load(started *atomic.Int64) (end func(), err error) {
	cmd, done, err := p.worker("load")
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		done()
		return nil, err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := out.Read(buf)
			started.Add(int64(bytes.Count(buf[:n], []byte("\n"))))
			if err != nil {
				return
			}
		}
	}()
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); done() }, nil
}

// watch waits for findings that hold a token.
type watch struct {
	mu   sync.Mutex // guards seen
	seen map[string]chan time.Time
}

func (w *watch) expect(token string) <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan time.Time, 1)
	clear(w.seen)
	w.seen[token] = c
	return c
}

func (w *watch) line(line []byte, at time.Time) {
	if !bytes.HasPrefix(line, []byte(`{"finding"`)) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for token, c := range w.seen {
		if bytes.Contains(line, []byte(token)) {
			c <- at
			delete(w.seen, token)
		}
	}
}

// quantile of values by the nearest rank; 0 of none.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

func median(v []float64) float64 { return quantile(v, 0.5) }
