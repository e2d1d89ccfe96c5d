// SPDX-License-Identifier: Apache-2.0

// Package lab builds and removes a small network of "hosts" on one Linux kernel.
//
// In: a list of host specifications (role, name, address). Out: running hosts in which
// commands can be started, files read and written, and connections opened. A host is a network
// namespace, a mount namespace whose root is an overlay over the machine's own root, a process
// namespace and a cgroup; a bridge in a namespace of its own joins them. No host has a default
// route and the machine has no leg in the lab, so a stray packet ends in ENETUNREACH.
//
// It believes that root in a host is root of the machine: private folders of the machine are
// hidden, dangerous capabilities are dropped and /proc/sys is read-only, but a lab is no sandbox.
//
// Worst trap: everything lives by open file descriptors and by the first process of each host. That is
// on purpose (a killed runner leaves no namespace, mount or process behind), but it means that
// nothing may be bind-mounted to a name "for convenience". Only empty cgroups can stay behind;
// New sweeps those of dead runners.
package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"
)

// HostSpec says what one host is. Role is the key by which scenarios name it (web, data,
// attacker…); Name is what the host itself and its neighbours call it.
type HostSpec struct {
	Role string
	Name string
	Addr netip.Addr
}

// Config of a lab. Bits is the prefix length that all addresses share (24 when 0).
type Config struct {
	Hosts []HostSpec
	Bits  int
	Log   io.Writer // progress for people; nil is silence
}

// Lab is a running network of hosts. Its methods are safe for many goroutines.
type Lab struct {
	Run     string // unique name of this instance, part of every cgroup name
	cgroups cgroups
	net     *network
	log     io.Writer

	mu     sync.Mutex // guards hosts, byRole and closed
	hosts  []*Host
	byRole map[string]*Host
	closed bool
}

// New builds the lab and returns when every host is up. On error nothing is left behind.
// It needs root and the programs of Need.
func New(ctx context.Context, cfg Config) (_ *Lab, err error) {
	if err := Need(); err != nil {
		return nil, err
	}
	if cfg.Bits == 0 {
		cfg.Bits = 24
	}
	var nonce [3]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("name the lab: %w", err)
	}
	lab := &Lab{
		// The runner's pid is in the name so that a later run can tell a dead lab from a living one.
		Run:    fmt.Sprintf("%s-%d", hex.EncodeToString(nonce[:]), os.Getpid()),
		log:    cfg.Log,
		byRole: map[string]*Host{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.Close())
		}
	}()
	if lab.cgroups, err = newCgroups(lab.Run); err != nil {
		return nil, err
	}
	if lab.net, err = newNetwork(); err != nil {
		return nil, err
	}
	start := time.Now()
	var group sync.WaitGroup
	failures := make([]error, len(cfg.Hosts))
	for i, spec := range cfg.Hosts {
		group.Go(func() { failures[i] = lab.addHost(ctx, i, spec, cfg) })
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	lab.printf("lab %s: %d hosts up in %.1f s", lab.Run, len(lab.hosts), time.Since(start).Seconds())
	return lab, nil
}

func (l *Lab) addHost(ctx context.Context, index int, spec HostSpec, cfg Config) error {
	host, err := startHost(ctx, l, index, spec, cfg)
	if err != nil {
		return fmt.Errorf("start host %s (%s): %w", spec.Role, spec.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, double := l.byRole[spec.Role]; double {
		host.close()
		return fmt.Errorf("start host %s: the role is named twice", spec.Role)
	}
	l.hosts = append(l.hosts, host)
	l.byRole[spec.Role] = host
	return nil
}

// Host gives the host of a role, or nil where there is none.
func (l *Lab) Host(role string) *Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byRole[role]
}

// Hosts lists all hosts in the order in which they came up.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.hosts...)
}

// Cgroup makes (once) a cgroup of the lab that is no host's, for processes that serve the lab
// from outside. Its processes end with the lab.
func (l *Lab) Cgroup(name string) (string, error) { return l.cgroups.add(name) }

// Close ends every process of the lab and gives back all it took from the kernel. It may be
// called again.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	hosts := l.hosts
	l.mu.Unlock()
	start := time.Now()
	err := l.cgroups.kill()
	for _, host := range hosts {
		err = errors.Join(err, host.close())
	}
	if l.net != nil {
		l.net.close()
	}
	err = errors.Join(err, l.cgroups.remove())
	if err == nil {
		l.printf("lab %s: gone in %.1f s", l.Run, time.Since(start).Seconds())
	}
	return err
}

func (l *Lab) printf(format string, args ...any) {
	if l.log != nil {
		fmt.Fprintf(l.log, format+"\n", args...)
	}
}
