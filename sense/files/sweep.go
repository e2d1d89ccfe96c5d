// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"fmt"
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

// lastLook is when the sensor last ran, in wall ns of today's clock; 0 on the first
// start, which looks at everything. A clock that was set back meanwhile gives files
// change times before the moment that was written down: within one boot the steady clock
// tells the true one, and a moment of the future is no moment at all.
func (s *Sensor) lastLook() int64 {
	b, err := os.ReadFile(s.opt.State)
	if err != nil {
		return 0
	}
	words := strings.Fields(string(b))
	if len(words) == 0 {
		return 0
	}
	wall, _ := strconv.ParseInt(words[0], 10, 64)
	now := time.Now().UnixNano()
	if len(words) == 3 && words[1] == bootID() {
		if boot, err := strconv.ParseUint(words[2], 10, 64); err == nil && boot <= event.BootNow() {
			wall = min(wall, now-int64(event.BootNow()-boot))
		}
	}
	if wall > now {
		return 0
	}
	return wall
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it boots are not told apart
	return strings.TrimSpace(string(b))
}

func (s *Sensor) remember() {
	if s.opt.State == "" {
		return
	}
	now := fmt.Sprintf("%d %s %d\n", time.Now().UnixNano(), bootID(), event.BootNow())
	if err := os.WriteFile(s.opt.State+".new", []byte(now), 0o600); err == nil {
		_ = os.Rename(s.opt.State+".new", s.opt.State)
	}
}

// sweep tells of every regular file under some roots whose inode changed after since.
// The change time cannot be set by programs, unlike the modification time.
func (s *Sensor) sweep(ctx context.Context, roots []string, since int64) {
	for _, r := range roots {
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
