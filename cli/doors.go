// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/cli/host"
	"github.com/ringwall/ringwall/console"
	"github.com/ringwall/ringwall/health"
)

// doors opens the API: the unix socket, and TCP. A port that is taken
// is no reason not to run.
func doors(ctx context.Context, out io.Writer, b *brain.Brain, g *global, d api.Door, data string, board *health.Board, log *slog.Logger, start func(string, func(context.Context) error)) error {
	key, err := access.KeyFile(filepath.Join(data, "identity", "access.key"))
	if err != nil {
		return err
	}
	origins := d.Origins
	if len(origins) == 0 && !d.Off() {
		scheme := "http://"
		if d.Cert != "" {
			scheme = "https://"
		}
		origins = []string{scheme + d.Listen}
	}
	guard, err := access.New(b.Ledger(), access.Config{Origins: origins, Proxies: d.Proxies, Key: key, OIDC: d.OIDC})
	if err != nil {
		return err
	}
	server := api.New(b, guard, host.Version, log)
	server.ShowSettings(func() ([]api.Setting, error) { return shownSettings(*g.inForce.Load()) })
	start("api", func(ctx context.Context) error { return server.RunSocket(ctx, socketPath(data)) })
	start("access", guard.Run)
	if d.Off() {
		return nil
	}
	start("api over TCP", func(ctx context.Context) error {
		if err := server.RunDoor(ctx, d, console.Handler()); err != nil {
			board.Set("door.api", health.Degraded, err.Error())
		}
		return nil
	})
	switch link, err := guard.SetupLink(ctx, ""); {
	case err == nil:
		fmt.Fprintf(out, "the API has no admin yet; become it within an hour, once, by %s (docs/operate.md)\n", link.URL)
	case !errors.Is(err, access.ErrConflict):
		return err
	}
	return nil
}
