// SPDX-License-Identifier: Apache-2.0

// Package faults proves the composed product under faults: kills, full disks, a bus
// that is away, stepped clocks, other schema versions, hostile peers and bad input.
//
// In go the binaries, built by its tests into a folder of their own, and synthetic
// agents that speak the bus as a real one does; out comes only the tests' word. It
// believes the archive, read after the brain has ended, for what was stored.
//
// The worst trap: a fault that did not happen proves nothing. Every test first shows
// that what it broke was broken.
package faults
