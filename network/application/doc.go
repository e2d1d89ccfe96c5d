// SPDX-License-Identifier: Apache-2.0

// Package application judges HTTP requests: first whether they are plainly ordinary
// (Ordinary, microseconds), then by the OWASP Core Rule Set on Coraza (Engine,
// milliseconds).
//
// In comes an event.HttpActivity, already decoded and free of secrets; out come the
// hits of rules, an anomaly score and a weight in log-odds. It believes that one hit
// of the rule set is weak: at paranoia 1 it objects to one ordinary request in seven
// (network.md §3), so rules that speak about form rather than attack are not loaded,
// the noisiest of the rest are removed, and no result is ever black.
//
// The worst trap: cost. A rule set that needs 3 ms for a search form needs 130 ms for
// 16 kB of telemetry, so what is inspected is bounded, the odd-looking values first,
// and a request that was cut says so.
package application
