// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/identity"
)

// ServerConfig says how the embedded broker runs.
type ServerConfig struct {
	Dir      string      // of streams and accounts; 0700
	Listen   string      // host:port for agents; empty: this process only
	TLS      *tls.Config // nil: plain; only for an address that never leaves the machine
	MaxStore int64       // bytes on disk; 0: 60 % of what is free now or already ours
	Log      *slog.Logger
}

// Server is an embedded NATS server with JetStream, where only users of the
// Authority's operator get in. Safe for many goroutines.
type Server struct {
	dir   string
	tls   bool
	port  int // 0 without a listener
	begin func(port int) (*server.Server, error)

	mu   sync.RWMutex // guards nats
	nats *server.Server
}

// StartServer starts a broker and returns when it takes connections.
func StartServer(cfg ServerConfig, auth *identity.Authority) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if cfg.MaxStore == 0 { // once: a stream that fitted at the start must fit after Restart
		n, err := storeFor(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("start broker: size of disk at %s: %w", cfg.Dir, err)
		}
		cfg.MaxStore = n
	}
	s := &Server{dir: cfg.Dir, tls: cfg.TLS != nil, begin: func(port int) (*server.Server, error) { return startServer(cfg, auth, port) }}
	var err error
	if s.nats, err = s.begin(0); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if addr, is := s.nats.Addr().(*net.TCPAddr); is {
		s.port = addr.Port
	}
	return s, nil
}

// startServer starts one; a port that is not 0 goes before that of cfg.
func startServer(cfg ServerConfig, auth *identity.Authority, port int) (*server.Server, error) {
	o := &server.Options{
		ServerName:        "ringwall",
		NoSigs:            true,
		NoLog:             cfg.Log == nil,
		JetStream:         true,
		StoreDir:          cfg.Dir,
		JetStreamMaxStore: cfg.MaxStore,
		// The spool, not the broker, is the source of truth (bus.go). JetStream's own
		// default is 2 min; 1 s cost p99 latency when measured (platform.md §2).
		SyncInterval: 30 * time.Second,
		MaxPayload:   1 << 20,
		TLSConfig:    cfg.TLS,
		DontListen:   cfg.Listen == "",
		// Restarting in place must not wait for clients that come back anyway.
		LameDuckDuration: 0,
	}
	if cfg.TLS != nil {
		o.TLSTimeout = 5
	}
	if cfg.Listen != "" {
		host, text, err := net.SplitHostPort(cfg.Listen)
		if err == nil {
			o.Host = host
			o.Port, err = strconv.Atoi(text)
		}
		if err != nil {
			return nil, fmt.Errorf("listen address %q: %w; want HOST:PORT", cfg.Listen, err)
		}
		switch {
		case port != 0:
			o.Port = port
		case o.Port == 0:
			o.Port = server.RANDOM_PORT
		}
	}
	if err := trust(o, filepath.Join(cfg.Dir, "accounts"), auth); err != nil {
		return nil, err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	if cfg.Log != nil {
		s.SetLoggerV2(logger{cfg.Log.With("part", "nats")}, false, false, false)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("not ready after 20 s; is %s slow or %q in use?", cfg.Dir, cfg.Listen)
	}
	return s, nil
}

// running is the server of the moment.
func (s *Server) running() *server.Server {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.nats
}

// Fault is why the broker stores nothing; nil when it does. JetStream gives a stream up
// for good at the first write that fails, such as on a full disk.
func (s *Server) Fault() error {
	if h := s.running().Healthz(&server.HealthzOptions{}); h.Error != "" {
		return errors.New(h.Error)
	}
	return nil
}

// Restart ends the broker and begins it anew on the same port and files. Clients come
// back by themselves.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	n, err := s.begin(s.port)
	if err != nil {
		return fmt.Errorf("restart broker: %w", err)
	}
	s.nats = n
	return nil
}

// leastRoom is the free space with which a broker is worth restarting.
const leastRoom = 4 << 20

// roomy tells whether there is space to write to.
func (s *Server) roomy() bool {
	var fs unix.Statfs_t
	return unix.Statfs(s.dir, &fs) == nil && int64(fs.Bavail)*fs.Bsize >= leastRoom
}

// trust sets the operator whose accounts the broker believes. Accounts are pushed to
// it, as to an external one (hub.go); they are kept in dir.
func trust(o *server.Options, dir string, auth *identity.Authority) error {
	operator, systemID, system, err := auth.Operator()
	if err != nil {
		return err
	}
	claims, err := jwt.DecodeOperatorClaims(operator)
	if err != nil {
		return err
	}
	resolver, err := server.NewDirAccResolver(dir, 0, time.Minute, server.NoDelete)
	if err != nil {
		return err
	}
	if err := resolver.Store(systemID, system); err != nil {
		return err
	}
	o.TrustedOperators = []*jwt.OperatorClaims{claims}
	o.SystemAccount = systemID
	o.AccountResolver = resolver
	return nil
}

// storeFor is 60 % of what the disk has for us: what is free and what we hold.
func storeFor(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	ours := int64(0)
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			ours += info.Size()
		}
		return nil // a file that vanished meanwhile holds nothing
	})
	return (int64(fs.Bavail)*fs.Bsize + ours) / 10 * 6, err
}

// URL is where agents connect; empty without a listener.
func (s *Server) URL() string {
	addr, is := s.running().Addr().(*net.TCPAddr)
	if !is {
		return ""
	}
	scheme := "nats://"
	if s.tls {
		scheme = "tls://"
	}
	return scheme + addr.String()
}

// InProcessConn opens a connection that crosses no network.
func (s *Server) InProcessConn() (net.Conn, error) { return s.running().InProcessConn() }

// Close stops the broker and returns when nothing of it runs.
func (s *Server) Close() {
	n := s.running()
	n.Shutdown()
	n.WaitForShutdown()
}

// logger hands the broker's log to slog. Its notices are many and routine.
type logger struct{ *slog.Logger }

func (l logger) Noticef(f string, v ...any) { l.Debug(fmt.Sprintf(f, v...)) }
func (l logger) Warnf(f string, v ...any)   { l.Warn(fmt.Sprintf(f, v...)) }
func (l logger) Fatalf(f string, v ...any)  { l.Error(fmt.Sprintf(f, v...)) }
func (l logger) Errorf(f string, v ...any)  { l.Error(fmt.Sprintf(f, v...)) }
func (l logger) Debugf(f string, v ...any)  { l.Debug(fmt.Sprintf(f, v...)) }
func (l logger) Tracef(f string, v ...any)  { l.Debug(fmt.Sprintf(f, v...)) }
