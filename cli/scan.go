// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/file"
	"github.com/ringwall/ringwall/verdict"
)

// scanned is one line of `ringwall scan --json`.
type scanned struct {
	SchemaVersion int           `json:"schema_version"`
	Path          string        `json:"path"`
	PathB64       string        `json:"path_b64,omitempty"` // where the name is not UTF-8
	SHA256        string        `json:"sha256"`
	Colour        string        `json:"colour"`
	Score         float64       `json:"score"`
	Stage         string        `json:"stage"`
	Engines       []file.Engine `json:"engines"`
	Family        string        `json:"family"`
	Error         string        `json:"error,omitempty"`
}

// errFailOn ends a scan that --fail-on asked to fail.
var errFailOn = errors.New("scan: files of the colour named by --fail-on were found")

func scanCmd(g *global) *cobra.Command {
	var failOn string
	cmd := &cobra.Command{
		Use: "scan PATH…", Short: "Send files and folders down the file funnel", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.load(cmd)
			if err != nil {
				return err
			}
			if failOn != "" && failOn != "black" && failOn != "grey" {
				return fmt.Errorf("--fail-on %q: want black or grey", failOn)
			}
			judge, _, err := file.New(cfg.Agent.File)
			if err != nil {
				return err
			}
			out, err := g.output(cmd)
			if err != nil {
				return err
			}
			s := scan{judge: judge, json: out, text: cmd.OutOrStdout(), bar: progress(cmd.ErrOrStderr(), "files", -1)}
			for _, root := range args {
				if err := s.walk(cmd.Context(), root); err != nil {
					return err
				}
			}
			_ = s.bar.Finish()
			fmt.Fprintf(cmd.ErrOrStderr(), "%d files: %d white, %d grey, %d black, %d not read\n", s.files, s.white, s.grey, s.black, s.failed)
			if failOn == "black" && s.black > 0 || failOn == "grey" && s.black+s.grey > 0 {
				return errFailOn
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&failOn, "fail-on", "", "exit with 2 when a file is black (or grey)")
	return cmd
}

type scan struct {
	judge                             *file.Judge
	json, text                        io.Writer
	bar                               *progressbar.ProgressBar
	files, white, grey, black, failed int
}

// walk scans a file or a folder; links are not followed.
func (s *scan) walk(ctx context.Context, root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == root:
			return fmt.Errorf("scan: %w", err)
		case err != nil:
			s.report(path, file.Result{}, err)
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		r, err := s.judge.Path(ctx, path)
		s.report(path, r, err)
		return nil
	})
}

func (s *scan) report(path string, r file.Result, err error) {
	s.files++
	_ = s.bar.Add(1)
	line := scanned{
		SchemaVersion: SchemaVersion, Path: path, SHA256: r.SHA256, Colour: strings.ToLower(r.Colour.String()),
		Score: r.Score, Stage: r.Stage, Engines: r.Engines, Family: r.Family,
	}
	if !utf8.ValidString(path) {
		line.Path, line.PathB64 = strings.ToValidUTF8(path, "\ufffd"), base64.StdEncoding.EncodeToString([]byte(path))
	}
	switch {
	case err != nil:
		s.failed++
		line.Error = err.Error()
	case r.Colour == verdict.Colour_WHITE:
		s.white++
	case r.Colour == verdict.Colour_BLACK:
		s.black++
	default:
		s.grey++
	}
	if s.json != nil {
		_ = json.NewEncoder(s.json).Encode(line)
		return
	}
	if r.Colour == verdict.Colour_BLACK || len(r.Evidence) > 0 && r.Colour == verdict.Colour_GREY {
		fmt.Fprintf(s.text, "%-5s %.2f %s", line.Colour, r.Score, plain(line.Path))
		for _, e := range r.Evidence {
			fmt.Fprintf(s.text, "  %s", plain(e.What))
		}
		fmt.Fprintln(s.text)
	}
}
