// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	window    = time.Hour          // over which the present rate is taken
	soon      = 7 * 24 * time.Hour // a disk that is full earlier wants an answer now
	least     = 1 << 30            // bytes free below which nothing is promised
	maxWalked = 1_000_000          // files looked at
	forever   = 365 * 24 * time.Hour * 10
)

// usage is what a folder holds and how it grows.
type usage struct {
	bytes int64
	rate  float64 // bytes a second, over the last hour or as long as there are files
}

// measure sums up a folder. What was written lately is what grew: archive segments and
// spool files are written once. Merged segments count twice for an hour, so the rate is
// rather too high than too low.
func measure(ctx context.Context, dir string, now time.Time) usage {
	var u usage
	var grown int64
	oldest := now
	walked := 0
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // what cannot be read counts nothing
		if walked++; ctx.Err() != nil || walked > maxWalked {
			return filepath.SkipAll
		}
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		u.bytes += info.Size()
		if t := info.ModTime(); t.Before(oldest) {
			oldest = t
		}
		if now.Sub(info.ModTime()) < window {
			grown += info.Size()
		}
		return nil
	})
	if span := min(now.Sub(oldest), window); span > time.Minute {
		u.rate = float64(grown) / span.Seconds()
	}
	return u
}

// diskSpace says how much room the data folder has and when it will be full.
func diskSpace(ctx context.Context, cfg *Config) []Check {
	if cfg.Data == "" {
		return nil
	}
	c := Check{Name: "data.disk", State: OK, Mend: "a larger disk, or brain.retention (age, bytes) lower", Costs: "events beyond the spool's bound are dropped, counted and told"}
	var st unix.Statfs_t
	if err := unix.Statfs(cfg.Data, &st); err != nil {
		c.State, c.Reason = Missing, cfg.Data+": "+err.Error()
		return []Check{c}
	}
	free := int64(st.Bavail) * st.Bsize
	u := measure(ctx, cfg.Data, time.Now())
	room := free
	bounded := false
	if cfg.KeepBytes > 0 {
		if left := max(0, cfg.KeepBytes+cfg.SpoolBytes-u.bytes); left < room {
			room, bounded = left, true
		}
	}
	c.Reason = fmt.Sprintf("%s free, %s used", size(free), size(u.bytes))
	left := untilFull(room, u.rate)
	switch {
	case u.rate == 0:
		c.Reason += ", no rate known yet"
	case bounded:
		c.Reason += fmt.Sprintf(", %s a day; old events go when the bound is reached%s", size(int64(u.rate*86400)), in(left))
	default:
		c.Reason += fmt.Sprintf(", %s a day: full%s", size(int64(u.rate*86400)), in(left))
	}
	if free < least || !bounded && u.rate > 0 && left < soon {
		c.State = Degraded
	}
	if free < least/16 {
		c.State = Missing
	}
	return []Check{c}
}

func untilFull(room int64, rate float64) time.Duration {
	if rate <= 0 || float64(room)/rate > forever.Seconds() {
		return forever
	}
	return time.Duration(float64(room) / rate * float64(time.Second))
}

func in(d time.Duration) string {
	switch {
	case d >= forever:
		return " in more than ten years"
	case d >= 48*time.Hour:
		return fmt.Sprintf(" in %d days", int(d.Hours()/24))
	}
	return fmt.Sprintf(" in %.1f hours", d.Hours())
}

func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.4g %s", f, units[i])
}
