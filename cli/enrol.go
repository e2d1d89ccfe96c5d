// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/identity"
)

// enrolment serves POST requests of joining hosts over the brain's certificate.
func enrolment(ctx context.Context, b *brain.Brain, listen string, log *slog.Logger) error {
	addr, err := brain.EnrolAddress(listen)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	_, url, pins := b.Bus()
	door := &identity.Door{
		Authority: b.Authority(), Bus: url, Pins: pins, Log: log,
		Pushed: func(ctx context.Context, t identity.Tenant) error { return b.PushTenant(ctx, string(t)) },
		Redact: func(t identity.Tenant) ([]byte, error) { return b.Secret(string(t)) },
		Enrolled: func(ctx context.Context, t identity.Tenant, h identity.Host, g identity.Group, join string) error {
			return b.Joined(ctx, string(t), string(h), string(g), join)
		},
	}
	srv := &http.Server{Handler: door, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(tls.NewListener(l, b.Authority().ServerTLS())); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
