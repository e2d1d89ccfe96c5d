// SPDX-License-Identifier: Apache-2.0

package event

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Clock maps between boot time (CLOCK_BOOTTIME, never stepped) and wall time, and
// counts the steps of the latter. Safe for many goroutines.
type Clock struct {
	offset atomic.Int64 // wall - boot, ns
	epoch  atomic.Uint32
}

// step is the change of offset that counts as a stepped clock; NTP slews stay far
// below it between two looks.
const step = int64(500 * time.Millisecond)

// NewClock reads both clocks once. Call Check now and then.
func NewClock() *Clock {
	c := &Clock{}
	c.offset.Store(wallMinusBoot())
	return c
}

func wallMinusBoot() int64 {
	return time.Now().UnixNano() - int64(BootNow())
}

// BootNow is the time since boot in ns, suspend included.
func BootNow() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return uint64(ts.Nano())
}

// Check looks at the clocks again; a step raises the epoch. It tells whether there
// was one.
func (c *Clock) Check() bool {
	now := wallMinusBoot()
	old := c.offset.Swap(now)
	if now-old < step && old-now < step {
		return false
	}
	c.epoch.Add(1)
	return true
}

// Wall is the wall time (ns since 1970) of a boot time.
func (c *Clock) Wall(bootNs uint64) int64 { return int64(bootNs) + c.offset.Load() }

// Boot is the boot time of a wall time.
func (c *Clock) Boot(wallNs int64) uint64 { return uint64(max(0, wallNs-c.offset.Load())) }

// Epoch is how often the wall clock was stepped since start.
func (c *Clock) Epoch() uint32 { return c.epoch.Load() }

// Stamp writes the time of a fact seen at a boot time.
func (c *Clock) Stamp(e *Event, bootNs uint64) {
	e.BootNs, e.WallNs, e.ClockEpoch = bootNs, c.Wall(bootNs), c.Epoch()
}
