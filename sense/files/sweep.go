// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
)

// rememberEvery is how much of the past a kill may make the next sweep repeat.
const rememberEvery = 10 * time.Second

// sweepPace rests between folders, so that a sweep stays behind live work.
const sweepPace = 200 * time.Microsecond

// lastLook is when the sensor last ran, wall ns; 0 on the first start, which looks at
// everything.
func (s *Sensor) lastLook() int64 {
	b, err := os.ReadFile(s.opt.State)
	if err != nil {
		return 0
	}
	ns, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return ns
}

func (s *Sensor) remember() {
	if s.opt.State == "" {
		return
	}
	now := strconv.FormatInt(time.Now().UnixNano(), 10) + "\n"
	if err := os.WriteFile(s.opt.State+".new", []byte(now), 0o600); err == nil {
		_ = os.Rename(s.opt.State+".new", s.opt.State)
	}
}

// sweep tells of every regular file under the roots whose inode changed after since.
// The change time cannot be set by programs, unlike the modification time.
func (s *Sensor) sweep(ctx context.Context, since int64) {
	for _, r := range s.cfg.Roots {
		_ = filepath.WalkDir(s.root+r, func(name string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return filepath.SkipAll
			case err != nil:
				return nil
			case d.IsDir():
				if !s.watched(s.inHost(name)) {
					return filepath.SkipDir
				}
				time.Sleep(sweepPace)
				return nil
			case !d.Type().IsRegular():
				return nil
			}
			var st unix.Stat_t
			if unix.Lstat(name, &st) != nil || st.Ctim.Nano() < since {
				return nil
			}
			if f, ok := describe(unix.AT_FDCWD, name, 0); ok {
				f.Path = s.inHost(name)
				s.tell(event.FileActivity_SWEPT, f, "", 0)
			}
			return nil
		})
	}
}
