// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/respond/connection"
	"github.com/ringwall/ringwall/respond/process"
	"github.com/ringwall/ringwall/respond/quarantine"
)

// forget makes interpreters forget a file that was taken away: OPcache goes on running
// it for revalidate_freq seconds (2 by default), or for ever with validate_timestamps=0.
// Each php-fpm master of this host that has OPcache loaded is told to start anew
// (SIGUSR2), in a way that ends no request; one that is too busy for that is left alone.
// It tells what was done, "" for nothing.
func (h *host) forget(ctx context.Context, store *quarantine.Store, m *quarantine.Manifest) string {
	if !store.Contains(m, "<?") {
		return ""
	}
	var notes []string
	for _, pid := range h.masters() {
		if !cachesCode(pid) {
			continue
		}
		if err := h.reload(ctx, pid, process.Title(pid)); err != nil {
			notes = append(notes, fmt.Sprintf("php-fpm (pid %d) may run it from its cache until revalidate_freq is over: %v", pid, err))
			continue
		}
		notes = append(notes, fmt.Sprintf("php-fpm (pid %d) was made to forget it", pid))
	}
	return strings.Join(notes, "; ")
}

// masters are the php-fpm masters of this host.
func (h *host) masters() (out []int) {
	ns := h.netns()
	for _, pid := range process.All() {
		if strings.HasPrefix(process.Title(pid), "php-fpm: master process") && strings.HasPrefix(program(pid), "php-fpm") &&
			process.Link(pid, "ns/net") == ns && trusted(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// wake lets workers go on that a kill of this program in the middle of reloadIdle left
// standing.
func (h *host) wake() {
	for _, master := range h.masters() {
		for _, pid := range process.Children(master) {
			if w, err := process.Open(pid, 0); err == nil {
				if w.State == 'T' && w.PPID == master {
					_ = w.Signal(unix.SIGCONT)
				}
				w.Close()
			}
		}
	}
}

func cachesCode(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	return err == nil && strings.Contains(string(b), "opcache")
}

// reload sends SIGUSR2. With process_control_timeout set, php-fpm lets its workers
// finish. With 0, the default, it sends SIGQUIT and at once SIGTERM, which ends a request
// half way (php-src sapi/fpm/fpm/fpm_process_ctl.c): then the workers are held still
// first, and the signal is sent only if none of them has a request. Whoever connects
// meanwhile waits in the listener's queue, which the master keeps open.
func (h *host) reload(ctx context.Context, master int, title string) error {
	st, err := process.Read(master)
	if err != nil {
		return err
	}
	fpm, err := process.Open(master, st.Start)
	if err != nil {
		return err
	}
	defer fpm.Close()
	if h.lets(title) {
		return fpm.Signal(unix.SIGUSR2)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); { // busy ones: some 200 looks
		idle, err := h.reloadIdle(ctx, fpm)
		if idle || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("its workers are never idle together; set process_control_timeout in php-fpm.conf")
}

// lets tells whether the master lets its workers finish, by its configuration file.
func (h *host) lets(title string) bool {
	_, rest, ok := strings.Cut(title, "(")
	file, _, closed := strings.Cut(rest, ")")
	if !ok || !closed || !path.IsAbs(file) {
		return false
	}
	b, err := os.ReadFile(filepath.Join("/", h.opt.Root, file))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.TrimSpace(name) == "process_control_timeout" {
			value = strings.TrimRight(strings.TrimSpace(value), "smhd")
			n, err := strconv.Atoi(value)
			return err == nil && n > 0
		}
	}
	return false
}

// reloadIdle holds the workers, looks whether any has a request, and reloads if not. The
// hold lasts a few milliseconds and is always ended.
func (h *host) reloadIdle(ctx context.Context, fpm *process.Handle) (idle bool, err error) {
	var workers []*process.Handle
	defer func() {
		for _, w := range workers {
			_ = w.Signal(unix.SIGCONT)
			w.Close()
		}
	}()
	for _, pid := range process.Children(fpm.PID) {
		w, err := process.Open(pid, 0)
		if errors.Is(err, process.ErrGone) {
			continue
		}
		if err != nil {
			return false, err
		}
		workers = append(workers, w)
		if w.PPID != fpm.PID {
			return false, nil
		}
		if err := w.Signal(unix.SIGSTOP); err != nil && !errors.Is(err, process.ErrGone) {
			return false, err
		}
	}
	for _, w := range workers {
		if !until(ctx, func() bool { s, err := process.Read(w.PID); return err != nil || s.State == 'T' || s.Dead() }) {
			return false, nil
		}
	}
	harmless, err := h.harmless(fpm.PID)
	if err != nil {
		return false, err
	}
	for _, w := range workers {
		for _, i := range process.Inodes(w.PID, process.Any) {
			if strings.HasPrefix(i, "socket:") && !harmless[i] {
				return false, nil
			}
		}
	}
	if len(process.Children(fpm.PID)) != len(workers) {
		return false, nil // one was born while we looked
	}
	if err := fpm.Signal(unix.SIGUSR2); err != nil {
		return false, err
	}
	// They must not wake before they are told to finish, or they would take a request
	// that the SIGTERM behind it ends.
	for _, w := range workers {
		until(ctx, func() bool { return pending(w.PID, unix.SIGQUIT) || pending(w.PID, unix.SIGTERM) })
	}
	return true, nil
}

// until waits for something that takes microseconds, at most half a second.
func until(ctx context.Context, f func() bool) bool {
	for end := time.Now().Add(500 * time.Millisecond); ; time.Sleep(100 * time.Microsecond) {
		if f() {
			return true
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
	}
}

// pending tells whether a signal waits for a process, or that the process is gone.
func pending(pid int, sig unix.Signal) bool {
	mask, err := strconv.ParseUint(status(pid, "ShdPnd"), 16, 64)
	return err != nil || mask&(1<<(sig-1)) != 0
}

// harmless gives the sockets that are no client of a master: its own, and those that
// neither bear the path of one of its listeners nor its port. A client in another
// network namespace, whose end shows in no list of ours, is not among them.
func (h *host) harmless(master int) (map[string]bool, error) {
	out := map[string]bool{}
	for _, i := range process.Inodes(master, process.Any) {
		out[i] = true
	}
	paths, table := map[string]bool{}, unixSockets(master)
	for _, u := range table {
		if u.listening && out[u.inode] {
			paths[u.path] = true
		}
	}
	for _, u := range table {
		if u.listening || u.path == "" || !paths[u.path] {
			out[u.inode] = true
		}
	}
	ports := map[uint16]bool{}
	all, err := h.diag.List(connection.Alive|connection.Listening, nil, unix.IPPROTO_TCP, unix.IPPROTO_UDP)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.State == connection.Listen && out[inodeOf(s)] {
			ports[s.Local.Port()] = true
		}
	}
	for _, s := range all {
		if s.State == connection.Listen || !ports[s.Local.Port()] {
			out[inodeOf(s)] = true
		}
	}
	return out, nil
}

func inodeOf(s connection.Socket) string { return fmt.Sprintf("socket:[%d]", s.Inode) }
