// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
)

// Door is where browsers and programs reach the API over TCP.
type Door struct {
	Listen string `yaml:"listen"` // default 127.0.0.1:9311; off: no door
	Cert   string `yaml:"cert"`   // PEM file; without cert and key only loopback is served
	Key    string `yaml:"key"`
	// Origins that browsers know it by, such as https://ringwall.example.org;
	// loopback needs none. One-time links begin with the first.
	Origins []string          `yaml:"origins"`
	Proxies []netip.Prefix    `yaml:"proxies"` // may tell the caller's address and scheme
	OIDC    []access.Provider `yaml:"oidc"`
}

// DefaultDoor serves this machine only.
const DefaultDoor = "127.0.0.1:9311"

// Off tells that there shall be no door.
func (d *Door) Off() bool { return d.Listen == "off" }

// Validate says what is wrong with d.
func (d *Door) Validate() error {
	if d.Off() || d.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return fmt.Errorf("api.listen %q: want HOST:PORT or off: %w", d.Listen, err)
	}
	if (d.Cert == "") != (d.Key == "") {
		return errors.New("api: cert and key belong together; one is missing")
	}
	if a, err := netip.ParseAddr(host); d.Cert == "" && (err != nil || !a.IsLoopback()) {
		return fmt.Errorf("api.listen %q is not loopback and there is no certificate: passwords would cross the network in the clear; set api.cert and api.key, or listen on 127.0.0.1 behind a proxy of yours", d.Listen)
	}
	return nil
}

// RunDoor serves the API, and pages beside it, until ctx ends.
func (s *Server) RunDoor(ctx context.Context, d Door, pages http.Handler) error {
	if err := d.Validate(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.Listen)
	if err != nil {
		return fmt.Errorf("api: %w; another program has the port: set api.listen to another, or off", err)
	}
	if d.Cert != "" {
		cert, err := tls.LoadX509KeyPair(d.Cert, d.Key)
		if err != nil {
			l.Close()
			return fmt.Errorf("api: certificate: %w", err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	srv := &http.Server{
		Handler: s.Web(pages), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: %w", err)
	}
	return nil
}

// Web is the handler of the door: who asks is found out first. What is not the API's goes
// to pages, which anyone may load: they hold no secret.
func (s *Server) Web(pages http.Handler) http.Handler {
	return s.guard.Headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			pages.ServeHTTP(w, r)
			return
		}
		c, err := s.guard.Caller(r)
		ctx := context.WithValue(r.Context(), callerKey{}, called{c, err})
		p, err := s.guard.Authenticate(r)
		switch {
		case err == nil:
			ctx = As(ctx, p)
		case errors.Is(err, access.ErrUnauthenticated):
		default:
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		s.mux.ServeHTTP(w, r.WithContext(ctx))
	}))
}

// refuse answers for what the guard said, before an operation is looked for.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := access.Status(err)
	if status == 0 {
		s.log.Error("who asks could not be found out", "error", err)
		status, err = http.StatusInternalServerError, errors.New("it failed inside; the brain's log says why")
	}
	retryAfter(w.Header(), err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = s.api.Marshal(w, "application/json", &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: err.Error()})
}

func retryAfter(h http.Header, err error) {
	var t *access.Throttled
	if errors.As(err, &t) {
		h.Set("Retry-After", strconv.Itoa(t.Seconds()))
	}
}
