// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/api/access"
)

// RunSocket serves on a unix socket, mode 0600, until ctx ends. A socket that nobody
// answers on is taken over. Only root and the owner of this process may ask.
func (s *Server) RunSocket(ctx context.Context, path string) error {
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
		Handler: s.peers(), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peerUID(c))
		},
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

// peerUID asks the kernel who is at the other end; -1 when it does not say.
func peerUID(c net.Conn) int {
	uid := -1
	if u, ok := c.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					uid = int(cred.Uid)
				}
			})
		}
	}
	return uid
}

// peers lets root and the owner in, and nobody else.
func (s *Server) peers() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(int)
		if !ok || uid != 0 && uid != os.Getuid() {
			http.Error(w, "only root and the owner may ask here", http.StatusForbidden)
			return
		}
		s.mux.ServeHTTP(w, r.WithContext(As(r.Context(), access.Socket(uid))))
	})
}
