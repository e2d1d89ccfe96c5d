// SPDX-License-Identifier: Apache-2.0

// Package api is the door for people and programs: HTTP with JSON over a unix
// socket for the command line, and health and metrics on loopback.
//
// In come requests; out go rows and objects of the brain, and events as they
// happen (one JSON document a line). It believes the kernel for who is at the
// socket (SO_PEERCRED) and a token file for who is on loopback.
//
// The worst trap: a browser page can reach loopback. The loopback door checks Host
// and Origin before it looks at the token.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/network/exposure"
	"github.com/ringwall/ringwall/verdict"
)

// Backend is what the doors show (package brain).
type Backend interface {
	Tenants() []string
	Findings(ctx context.Context, q brain.FindingQuery) ([]*verdict.Finding, error)
	Follow(ctx context.Context, tenant string) <-chan brain.Update
	Incidents(ctx context.Context, tenant string) ([]*verdict.Incident, error)
	Incident(ctx context.Context, tenant, id string) (*verdict.Incident, error)
	Trace(ctx context.Context, tenant, id string) (*brain.Story, error)
	Actions(ctx context.Context, tenant string) ([]action.Record, error)
	Undo(ctx context.Context, tenant, id, who string) error
	Off(ctx context.Context, tenant, who string) error
	Hunt(ctx context.Context, tenant, sql string, limit brain.HuntLimit, row func([]any) error) (brain.HuntEnd, error)
	Intel(ctx context.Context, tenant, value string) (any, error)
	Enroll(ctx context.Context, tenant, host, group string, life time.Duration) (string, error)
	Status(ctx context.Context) brain.Status
	Exposure(ctx context.Context, tenant, host string) ([]exposure.Entry, error)
	Record(ctx context.Context, tenant string, since time.Time, w io.Writer) error
}

// Server answers on the unix socket.
type Server struct {
	back Backend
	mux  *http.ServeMux
}

// New makes the server over a backend.
func New(back Backend) *Server {
	s := &Server{back: back, mux: http.NewServeMux()}
	s.routes()
	return s
}

// Handler is the routes without a door, for tests.
func (s *Server) Handler() http.Handler { return s.mux }

// Run serves the unix socket at path (0600) until ctx ends. A socket left by a dead
// process is replaced; a live one is an error.
func (s *Server) Run(ctx context.Context, path string) error {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("listen on %s: another ringwall answers there; stop it or choose another --data", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	// No umask for it: that is the whole process's, and folders made meanwhile by others
	// could not be entered. Until the mode is set the folder (0700) and the peer check guard.
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	srv := &http.Server{
		Handler: s.mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return withPeer(ctx, c) },
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", path, err)
	}
	return nil
}

type peerKey struct{}

// Peer is who is at the other end of the socket, by the kernel's word.
type Peer struct{ UID, PID int }

func withPeer(ctx context.Context, c net.Conn) context.Context {
	p := Peer{UID: -1}
	if u, ok := c.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					p = Peer{UID: int(cred.Uid), PID: int(cred.Pid)}
				}
			})
		}
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// who names the caller for the audit log.
func who(r *http.Request) string {
	p, _ := r.Context().Value(peerKey{}).(Peer)
	return "uid:" + strconv.Itoa(p.UID)
}

// allowed: only root and the owner of the process may ask; the socket's mode says so
// too, but a mode can be changed by mistake.
func allowed(r *http.Request) bool {
	p, ok := r.Context().Value(peerKey{}).(Peer)
	return !ok || p.UID == 0 || p.UID == os.Getuid()
}

// JSON writes any value; proto messages by their own mapping.
func JSON(v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: false}.Marshal(m)
	}
	return json.Marshal(v)
}
