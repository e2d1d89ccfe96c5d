// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/file"
	"github.com/ringwall/ringwall/health"
)

// asked bounds the files whose event is remembered until their verdict.
const asked = 8192

// fileLayer sends every file that was written, moved or found changed down the file
// funnel and tells what it says.
type fileLayer struct {
	a      *Agent
	queue  *file.Queue
	judge  *file.Judge
	hashes []string // lists that judge has read
	from   *work

	mu   sync.Mutex
	wait map[string]*event.Event // by path: the event that asked
}

func newFileLayer(a *Agent, all Config, w *work) (*fileLayer, error) {
	cfg := all.File
	cfg.Root = a.cfg.Scope.Root
	judge, warnings, err := file.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("file layer: %w", err)
	}
	for _, w := range warnings {
		a.opt.Log.Warn("file layer", "warning", w)
	}
	l := &fileLayer{a: a, judge: judge, hashes: cfg.Hashes, from: w, wait: map[string]*event.Event{}}
	l.queue = file.NewQueue(judge, l.done)
	a.opt.Board.Set("file", health.On, "")
	return l, nil
}

func (l *fileLayer) run(ctx context.Context) {
	if err := l.queue.Run(ctx); err != nil && ctx.Err() == nil {
		l.a.opt.Board.Set("file", health.Off, err.Error())
	}
}

// see queues the file that an event speaks of. Content is judged when it is
// complete: at the close after a write, under the new name after a move.
func (l *fileLayer) see(ev *event.Event) {
	f := ev.GetFile()
	if f == nil {
		return
	}
	path := f.File.GetPath()
	switch f.Op {
	case event.FileActivity_CLOSE_WRITE, event.FileActivity_SWEPT:
	case event.FileActivity_RENAME:
		path = f.NewPath
	default:
		return
	}
	l.mu.Lock()
	if len(l.wait) >= asked {
		clear(l.wait)
	}
	l.wait[path] = ev
	l.mu.Unlock()
	l.queue.Submit(path, f.Op != event.FileActivity_SWEPT)
}

// done tells what the funnel says of one file. A file that is gone again is no news.
func (l *fileLayer) done(r file.Result, err error) {
	l.mu.Lock()
	ev := l.wait[r.Path]
	delete(l.wait, r.Path)
	l.mu.Unlock()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, file.ErrNotRegular) {
			l.a.opt.Log.Debug("file not judged", "path", r.Path, "error", err)
		}
		return
	}
	if ev == nil {
		return
	}
	about := ev.GetFile().File.CloneVT()
	f := r.Finding(string(l.a.opt.Self.Host), ev.WallNs, about)
	if f == nil {
		return
	}
	f.Events = append(f.Events, ev.ID())
	f.SetID()
	if ev.Actor != nil {
		f.Subjects = append(f.Subjects, &entity.Sighting{Kind: entity.Kind_PROCESS, Role: "writer", Process: ev.Actor})
	}
	l.a.found(f, l.from, l.a.told())
}
